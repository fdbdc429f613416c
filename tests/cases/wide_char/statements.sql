INSERT INTO t VALUES (1, 'abc'), (2, ''), (3, 'ä€𝄞');
UPDATE t SET v = 'ä€𝄞' WHERE id = 1;
UPDATE t SET v = NULL WHERE id = 2;
UPDATE t SET v = 'abc' WHERE id = 2;
DELETE FROM t WHERE id = 3;
