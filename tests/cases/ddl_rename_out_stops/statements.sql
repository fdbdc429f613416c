INSERT INTO t VALUES (3, 1);
RENAME TABLE t TO test_outside.t;
RENAME TABLE test_outside.t TO t;
