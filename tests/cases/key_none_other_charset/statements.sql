INSERT INTO t VALUES (1, 'é'), (1, 'é'), (2, NULL);
UPDATE t SET b = 'ü' WHERE a = 2;
DELETE FROM t WHERE a = 1 LIMIT 1;
