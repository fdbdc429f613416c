INSERT INTO t VALUES (1, '漢字', '漢字', REPEAT('漢字', 50)), (2, '', '', ''), (3, NULL, NULL, NULL);
UPDATE t SET v = CONCAT(v, '漢字') WHERE id = 1;
UPDATE t SET x = '漢字' WHERE id = 3;
