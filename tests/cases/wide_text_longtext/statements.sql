INSERT INTO t VALUES (1, 'abc'), (2, ''), (3, REPEAT('x',60000));
UPDATE t SET v = REPEAT('x',60000) WHERE id = 1;
UPDATE t SET v = NULL WHERE id = 2;
UPDATE t SET v = 'abc' WHERE id = 2;
DELETE FROM t WHERE id = 3;
