INSERT INTO t VALUES (1, 'é£ÿ€', 'é£ÿ€', 'é£ÿ€'), (2, 'plain', 'plain', 'plain'), (3, REPEAT('ü', 20), REPEAT('ü', 20), REPEAT('ü', 20)), (90, NULL, NULL, NULL), (91, '', '', '');
UPDATE t SET v = NULL WHERE id = 1;
UPDATE t SET x = 'é£ÿ€' WHERE id = 90;
DELETE FROM t WHERE id = 91;
