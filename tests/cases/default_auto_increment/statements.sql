INSERT INTO t VALUES ('x', 1), ('y', 2);
UPDATE t SET a = 5 WHERE code = 'x';
