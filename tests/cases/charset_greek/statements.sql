INSERT INTO t VALUES (1, 'αβγ', 'αβγ', REPEAT('αβγ', 50)), (2, '', '', ''), (3, NULL, NULL, NULL);
UPDATE t SET v = CONCAT(v, 'αβγ') WHERE id = 1;
UPDATE t SET x = 'αβγ' WHERE id = 3;
