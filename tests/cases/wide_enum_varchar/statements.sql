INSERT INTO t VALUES (1, 'a'), (2, 'bb');
UPDATE t SET v = 'bb' WHERE id = 1;
UPDATE t SET v = NULL WHERE id = 2;
UPDATE t SET v = 'a' WHERE id = 2;
DELETE FROM t WHERE id = 2;
