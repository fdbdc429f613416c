INSERT INTO t VALUES (1, ''), (2, 'abc'), (3, 'ä€𝄞'), (4, 'trail  '), (5, REPEAT('𝄞', 10));
INSERT INTO t VALUES (100, NULL);
UPDATE t SET v = NULL WHERE id = 1;
UPDATE t SET v = '' WHERE id = 5;
UPDATE t SET v = REPEAT('𝄞', 10) WHERE id = 100;
UPDATE t SET id = 50 WHERE id = 2;
DELETE FROM t WHERE id = 3;
INSERT INTO t VALUES (200, ''), (201, 'abc'), (202, 'ä€𝄞'), (203, 'trail  '), (204, REPEAT('𝄞', 10));
