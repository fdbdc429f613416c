SET sql_mode = '';
INSERT INTO t VALUES (1, 'too long', 1000), (2, 'abc', -1000);
