INSERT INTO p VALUES (1, 1), (2, 2), (3, 3);
INSERT INTO c VALUES (10, 1), (11, 1), (12, 2), (13, NULL);
SET foreign_key_checks = 0;
INSERT INTO c VALUES (20, 99);
DELETE FROM p WHERE id = 1;
SET foreign_key_checks = 1;
INSERT INTO c VALUES (21, 2);
