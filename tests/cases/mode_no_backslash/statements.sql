SET sql_mode = 'NO_BACKSLASH_ESCAPES';
INSERT INTO t VALUES (1, 'a\b\'), (2, 'c''d');
UPDATE t SET v = CONCAT(v, '\n') WHERE id = 1;
