INSERT INTO t VALUES (1, '𝄞ä', '𝄞ä', REPEAT('𝄞ä', 50)), (2, '', '', ''), (3, NULL, NULL, NULL);
UPDATE t SET v = CONCAT(v, '𝄞ä') WHERE id = 1;
UPDATE t SET x = '𝄞ä' WHERE id = 3;
