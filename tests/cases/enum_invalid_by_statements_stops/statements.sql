SET sql_mode = '';
INSERT INTO t VALUES (1, 'nonsense');
