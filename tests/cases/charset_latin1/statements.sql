INSERT INTO t VALUES (1, 'é£ÿ', 'é£ÿ', REPEAT('é£ÿ', 50)), (2, '', '', ''), (3, NULL, NULL, NULL);
UPDATE t SET v = CONCAT(v, 'é£ÿ') WHERE id = 1;
UPDATE t SET x = 'é£ÿ' WHERE id = 3;
