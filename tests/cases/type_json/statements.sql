INSERT INTO t VALUES (1, '{}'), (2, '[1, 2.5, -3, null, true, "ä𝄞"]'), (3, '{"a": {"b": [[]]}}'), (4, '"text"'), (5, '18446744073709551615'), (6, '1e100');
INSERT INTO t VALUES (100, NULL);
UPDATE t SET v = NULL WHERE id = 1;
UPDATE t SET v = '{}' WHERE id = 6;
UPDATE t SET v = '1e100' WHERE id = 100;
UPDATE t SET id = 50 WHERE id = 2;
DELETE FROM t WHERE id = 3;
INSERT INTO t VALUES (200, '{}'), (201, '[1, 2.5, -3, null, true, "ä𝄞"]'), (202, '{"a": {"b": [[]]}}'), (203, '"text"'), (204, '18446744073709551615'), (205, '1e100');
