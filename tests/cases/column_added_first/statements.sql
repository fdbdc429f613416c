INSERT INTO t VALUES (1, 10, 'one'), (2, NULL, NULL), (3, 30, '');
UPDATE t SET a = a + 1, b = CONCAT(b, '!') WHERE id = 1;
UPDATE t SET id = 9 WHERE id = 2;
DELETE FROM t WHERE id = 3;
INSERT INTO t (id) VALUES (4);
