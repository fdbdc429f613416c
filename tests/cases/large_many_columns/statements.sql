INSERT INTO t (id, c0, c299) VALUES (1, 'a', 'z'), (2, NULL, NULL);
UPDATE t SET c150 = 'mid';
