SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT';
INSERT INTO "t" VALUES (1, 'a' || 'b');
UPDATE t SET v = '"' WHERE id = 1;
