INSERT INTO p VALUES (1, 1), (2, 2), (3, 3);
INSERT INTO c VALUES (10, 1), (11, 1), (12, 2), (13, NULL);
UPDATE p SET id = 7 WHERE id = 1;
UPDATE p SET v = 9 WHERE id = 7;
