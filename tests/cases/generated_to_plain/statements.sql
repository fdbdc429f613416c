INSERT INTO t (id, a) VALUES (1, 1), (2, NULL);
UPDATE t SET a = 9 WHERE id = 2;
