INSERT INTO t VALUES (1, 's0'), (2, 's63'), (3, 's0,s31,s32,s63');
INSERT INTO t VALUES (100, NULL);
UPDATE t SET v = NULL WHERE id = 1;
UPDATE t SET v = 's0' WHERE id = 3;
UPDATE t SET v = 's0,s31,s32,s63' WHERE id = 100;
UPDATE t SET id = 50 WHERE id = 2;
DELETE FROM t WHERE id = 3;
INSERT INTO t VALUES (200, 's0'), (201, 's63'), (202, 's0,s31,s32,s63');
