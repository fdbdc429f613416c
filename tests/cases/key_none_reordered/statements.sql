INSERT INTO t VALUES (1, 'x', 1), (1, 'x', 1), (2, NULL, NULL);
UPDATE t SET b = 'y' WHERE a = 2;
DELETE FROM t WHERE a = 1 LIMIT 1;
