INSERT INTO t VALUES (1, 10, 20), (2, NULL, 5);
UPDATE t SET a = b, b = a WHERE id = 1;
