SET binlog_row_image = 'NOBLOB';
INSERT INTO t VALUES (1, 1, 'x', REPEAT('b', 500)), (2, 2, NULL, NULL);
UPDATE t SET a = 9 WHERE id = 1;
UPDATE t SET x = 'new' WHERE id = 2;
DELETE FROM t WHERE id = 2;
INSERT INTO t (id) VALUES (3);
