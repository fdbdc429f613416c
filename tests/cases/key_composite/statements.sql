INSERT INTO t VALUES (1, 'x', 1), (2, 'x', 2), (1, 'y', 3);
UPDATE t SET c = 9 WHERE a = 1 AND b = 'y';
UPDATE t SET b = 'z' WHERE a = 2;
DELETE FROM t WHERE c = 1;
