INSERT INTO t VALUES (1, 'abc'), (2, ''), (3, REPEAT('ä',10));
UPDATE t SET v = REPEAT('ä',10) WHERE id = 1;
UPDATE t SET v = NULL WHERE id = 2;
UPDATE t SET v = 'abc' WHERE id = 2;
DELETE FROM t WHERE id = 3;
