INSERT INTO t VALUES (1, '𝄞漢', '𝄞漢', REPEAT('𝄞漢', 50)), (2, '', '', ''), (3, NULL, NULL, NULL);
UPDATE t SET v = CONCAT(v, '𝄞漢') WHERE id = 1;
UPDATE t SET x = '𝄞漢' WHERE id = 3;
