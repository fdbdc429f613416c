INSERT INTO t VALUES (1, 'łź', 'łź', REPEAT('łź', 50)), (2, '', '', ''), (3, NULL, NULL, NULL);
UPDATE t SET v = CONCAT(v, 'łź') WHERE id = 1;
UPDATE t SET x = 'łź' WHERE id = 3;
