INSERT INTO t (id, a, h) VALUES (1, 1, 5), (2, 2, NULL);
UPDATE t SET h = 9 WHERE id = 2;
