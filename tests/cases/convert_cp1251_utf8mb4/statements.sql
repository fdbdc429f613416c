INSERT INTO t VALUES (1, 'Привет', 'Привет', 'Привет'), (2, 'plain', 'plain', 'plain'), (90, NULL, NULL, NULL), (91, '', '', '');
UPDATE t SET v = NULL WHERE id = 1;
UPDATE t SET x = 'Привет' WHERE id = 90;
DELETE FROM t WHERE id = 91;
