SET sql_mode = '';
INSERT INTO t VALUES (1, 'a'), (2, 'nonsense'), (3, 'b');
INSERT INTO t VALUES (100, NULL);
UPDATE t SET v = NULL WHERE id = 1;
UPDATE t SET v = 'a' WHERE id = 3;
UPDATE t SET v = 'b' WHERE id = 100;
UPDATE t SET id = 50 WHERE id = 2;
DELETE FROM t WHERE id = 3;
INSERT INTO t VALUES (200, 'a'), (201, 'nonsense'), (202, 'b');
