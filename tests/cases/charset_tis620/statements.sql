INSERT INTO t VALUES (1, 'กข', 'กข', REPEAT('กข', 50)), (2, '', '', ''), (3, NULL, NULL, NULL);
UPDATE t SET v = CONCAT(v, 'กข') WHERE id = 1;
UPDATE t SET x = 'กข' WHERE id = 3;
