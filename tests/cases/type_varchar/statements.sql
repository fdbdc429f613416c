INSERT INTO t VALUES (1, ''), (2, 'a'), (3, REPEAT('𝄞', 63)), (4, 'trail  '), (5, 'nul\0in');
INSERT INTO t VALUES (100, NULL);
UPDATE t SET v = NULL WHERE id = 1;
UPDATE t SET v = '' WHERE id = 5;
UPDATE t SET v = 'nul\0in' WHERE id = 100;
UPDATE t SET id = 50 WHERE id = 2;
DELETE FROM t WHERE id = 3;
INSERT INTO t VALUES (200, ''), (201, 'a'), (202, REPEAT('𝄞', 63)), (203, 'trail  '), (204, 'nul\0in');
