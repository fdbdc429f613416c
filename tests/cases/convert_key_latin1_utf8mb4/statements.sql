INSERT INTO t VALUES ('é', 1), ('b', 2);
UPDATE t SET v = 3 WHERE k = 'é';
UPDATE t SET k = 'ü' WHERE k = 'b';
DELETE FROM t WHERE k = 'é';
