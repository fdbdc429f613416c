INSERT INTO t (v) VALUES (1), (2), (3);
INSERT INTO t VALUES (100, 4);
INSERT INTO t (v) VALUES (5);
DELETE FROM t WHERE id = 101;
SET auto_increment_increment = 10, auto_increment_offset = 3;
INSERT INTO t (v) VALUES (6);
