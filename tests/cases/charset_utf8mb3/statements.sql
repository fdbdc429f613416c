INSERT INTO t VALUES (1, 'ä€漢', 'ä€漢', REPEAT('ä€漢', 50)), (2, '', '', ''), (3, NULL, NULL, NULL);
UPDATE t SET v = CONCAT(v, 'ä€漢') WHERE id = 1;
UPDATE t SET x = 'ä€漢' WHERE id = 3;
