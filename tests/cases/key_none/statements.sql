INSERT INTO t VALUES (1, 'x'), (2, NULL), (NULL, NULL), (3, 'z');
UPDATE t SET b = 'y' WHERE a = 2;
DELETE FROM t WHERE a = 1;
