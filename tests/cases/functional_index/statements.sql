INSERT INTO t VALUES (1, 'x'), (2, NULL);
UPDATE t SET a = 'y' WHERE id = 2;
