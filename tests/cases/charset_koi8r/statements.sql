INSERT INTO t VALUES (1, 'Привет', 'Привет', REPEAT('Привет', 50)), (2, '', '', ''), (3, NULL, NULL, NULL);
UPDATE t SET v = CONCAT(v, 'Привет') WHERE id = 1;
UPDATE t SET x = 'Привет' WHERE id = 3;
