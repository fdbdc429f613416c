INSERT INTO t VALUES (1, '汉字', '汉字', REPEAT('汉字', 50)), (2, '', '', ''), (3, NULL, NULL, NULL);
UPDATE t SET v = CONCAT(v, '汉字') WHERE id = 1;
UPDATE t SET x = '汉字' WHERE id = 3;
