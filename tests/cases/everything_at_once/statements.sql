INSERT INTO t VALUES (1, -5, 'gone', 'ä', '2024-01-01'), (2, NULL, NULL, NULL, NULL);
UPDATE t SET b = 'new', old = 'x' WHERE id = 2;
UPDATE t SET a = 127 WHERE id = 1;
