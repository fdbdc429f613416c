INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 2);
UPDATE t SET a = 3, code = 'z' WHERE id = 1;
UPDATE t SET id = 5 WHERE id = 2;
DELETE FROM t WHERE id = 1;
