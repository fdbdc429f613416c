INSERT INTO t VALUES (1, 'אב', 'אב', REPEAT('אב', 50)), (2, '', '', ''), (3, NULL, NULL, NULL);
UPDATE t SET v = CONCAT(v, 'אב') WHERE id = 1;
UPDATE t SET x = 'אב' WHERE id = 3;
