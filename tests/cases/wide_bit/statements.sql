INSERT INTO t VALUES (1, b'101'), (2, 0), (3, b'111');
UPDATE t SET v = b'111' WHERE id = 1;
UPDATE t SET v = NULL WHERE id = 2;
UPDATE t SET v = b'101' WHERE id = 2;
DELETE FROM t WHERE id = 3;
