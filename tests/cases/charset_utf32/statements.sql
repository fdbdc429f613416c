INSERT INTO t VALUES (1, '𝄞', '𝄞', REPEAT('𝄞', 50)), (2, '', '', ''), (3, NULL, NULL, NULL);
UPDATE t SET v = CONCAT(v, '𝄞') WHERE id = 1;
UPDATE t SET x = '𝄞' WHERE id = 3;
