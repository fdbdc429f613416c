INSERT INTO t VALUES (1, '::1'), (2, '2001:db8::ff00:42:8329'), (3, '::ffff:192.0.2.1');
INSERT INTO t VALUES (100, NULL);
UPDATE t SET v = NULL WHERE id = 1;
UPDATE t SET v = '::1' WHERE id = 3;
UPDATE t SET v = '::ffff:192.0.2.1' WHERE id = 100;
UPDATE t SET id = 50 WHERE id = 2;
DELETE FROM t WHERE id = 3;
INSERT INTO t VALUES (200, '::1'), (201, '2001:db8::ff00:42:8329'), (202, '::ffff:192.0.2.1');
