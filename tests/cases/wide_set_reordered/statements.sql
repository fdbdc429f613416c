INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, '');
UPDATE t SET v = '' WHERE id = 1;
UPDATE t SET v = NULL WHERE id = 2;
UPDATE t SET v = 'x' WHERE id = 2;
DELETE FROM t WHERE id = 3;
