INSERT INTO t VALUES (1, '漢字'), (2, '');
UPDATE t SET v = '字' WHERE id = 2;
