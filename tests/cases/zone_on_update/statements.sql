INSERT INTO t (id, v) VALUES (1, 1), (2, 2);
UPDATE t SET v = 3 WHERE id = 1;
