INSERT INTO t VALUES (1, ''), (2, REPEAT('x', 70000)), (3, 'ä€𝄞\n\'"\\');
INSERT INTO t VALUES (100, NULL);
UPDATE t SET v = NULL WHERE id = 1;
UPDATE t SET v = '' WHERE id = 3;
UPDATE t SET v = 'ä€𝄞\n\'"\\' WHERE id = 100;
UPDATE t SET id = 50 WHERE id = 2;
DELETE FROM t WHERE id = 3;
INSERT INTO t VALUES (200, ''), (201, REPEAT('x', 70000)), (202, 'ä€𝄞\n\'"\\');
