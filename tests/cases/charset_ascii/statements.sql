INSERT INTO t VALUES (1, 'abc', 'abc', REPEAT('abc', 50)), (2, '', '', ''), (3, NULL, NULL, NULL);
UPDATE t SET v = CONCAT(v, 'abc') WHERE id = 1;
UPDATE t SET x = 'abc' WHERE id = 3;
