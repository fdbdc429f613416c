INSERT INTO t VALUES (1, 1), (2, 2), (3, 3);
UPDATE t SET id = id + 1 ORDER BY id DESC;
UPDATE t SET id = id - 1 ORDER BY id;
