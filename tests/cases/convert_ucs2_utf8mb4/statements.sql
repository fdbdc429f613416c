INSERT INTO t VALUES (1, '漢字', '漢字', '漢字'), (2, 'plain', 'plain', 'plain'), (90, NULL, NULL, NULL), (91, '', '', '');
UPDATE t SET v = NULL WHERE id = 1;
UPDATE t SET x = '漢字' WHERE id = 90;
DELETE FROM t WHERE id = 91;
