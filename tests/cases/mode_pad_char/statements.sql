SET sql_mode = 'PAD_CHAR_TO_FULL_LENGTH';
INSERT INTO t VALUES (1, 'x'), (2, '');
UPDATE t SET c = 'y' WHERE id = 2;
