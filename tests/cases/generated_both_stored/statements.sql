INSERT INTO t (id, a, b) VALUES (1, 1, 1), (2, NULL, 2);
UPDATE t SET a = 9 WHERE id = 2;
UPDATE t SET b = 7;
