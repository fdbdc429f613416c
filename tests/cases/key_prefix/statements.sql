INSERT INTO t VALUES ('abc', 1), ('abcdefghijklm', 2);
UPDATE t SET v = 3 WHERE v = 2;
UPDATE t SET a = 'xyz' WHERE v = 1;
