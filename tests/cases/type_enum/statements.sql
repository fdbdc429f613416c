INSERT INTO t VALUES (1, 'a'), (2, 'ä€'), (3, ''), (4, 2);
INSERT INTO t VALUES (100, NULL);
UPDATE t SET v = NULL WHERE id = 1;
UPDATE t SET v = 'a' WHERE id = 4;
UPDATE t SET v = 2 WHERE id = 100;
UPDATE t SET id = 50 WHERE id = 2;
DELETE FROM t WHERE id = 3;
INSERT INTO t VALUES (200, 'a'), (201, 'ä€'), (202, ''), (203, 2);
