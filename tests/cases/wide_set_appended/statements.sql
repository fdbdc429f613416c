INSERT INTO t VALUES (1, 'a'), (2, 'a,b'), (3, '');
UPDATE t SET v = '' WHERE id = 1;
UPDATE t SET v = NULL WHERE id = 2;
UPDATE t SET v = 'a' WHERE id = 2;
DELETE FROM t WHERE id = 3;
