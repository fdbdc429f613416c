INSERT INTO a VALUES (1, 1), (2, 2);
INSERT INTO b VALUES (1, 1), (2, 2);
UPDATE a JOIN b USING (id) SET a.v = 5, b.v = 6 WHERE a.id = 1;
DELETE a, b FROM a JOIN b USING (id) WHERE a.id = 2;
