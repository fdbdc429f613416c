INSERT INTO t VALUES (1, ''), (2, 'x,z'), (3, 'x,y,z');
INSERT INTO t VALUES (100, NULL);
UPDATE t SET v = NULL WHERE id = 1;
UPDATE t SET v = '' WHERE id = 3;
UPDATE t SET v = 'x,y,z' WHERE id = 100;
UPDATE t SET id = 50 WHERE id = 2;
DELETE FROM t WHERE id = 3;
INSERT INTO t VALUES (200, ''), (201, 'x,z'), (202, 'x,y,z');
