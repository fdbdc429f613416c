INSERT INTO t VALUES (1, '한국', '한국', REPEAT('한국', 50)), (2, '', '', ''), (3, NULL, NULL, NULL);
UPDATE t SET v = CONCAT(v, '한국') WHERE id = 1;
UPDATE t SET x = '한국' WHERE id = 3;
