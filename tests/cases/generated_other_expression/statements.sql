INSERT INTO t (id, a) VALUES (1, 1);
UPDATE t SET a = 5;
