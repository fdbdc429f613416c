INSERT INTO t (id) VALUES (1), (2);
INSERT INTO t VALUES (3, 1, 5, 65535, 'x', -1, 'abc', 7, 'text', -9, 0x00, -1.5, '2024-01-01', 1.5, '-01:02:03.04', 2.5, '2024-01-01 01:02:03.4567', 2024, 'b', 'a,b', 0x01, 0x0203);
UPDATE t a JOIN t b ON b.id = 3 SET a.c0 = b.c0, a.c2 = b.c2, a.c4 = b.c4, a.c6 = b.c6, a.c8 = b.c8, a.c10 = b.c10, a.c12 = b.c12, a.c14 = b.c14, a.c16 = b.c16, a.c18 = b.c18, a.c20 = b.c20 WHERE a.id = 1;
UPDATE t SET c3 = REPEAT('ä', 300), c7 = NULL WHERE id = 3;
