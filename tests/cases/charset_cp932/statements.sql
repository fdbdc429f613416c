INSERT INTO t VALUES (1, '表能', '表能', REPEAT('表能', 50)), (2, '', '', ''), (3, NULL, NULL, NULL);
UPDATE t SET v = CONCAT(v, '表能') WHERE id = 1;
UPDATE t SET x = '表能' WHERE id = 3;
