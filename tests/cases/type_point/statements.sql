INSERT INTO t VALUES (1, ST_GeomFromText('POINT(1 2)')), (2, ST_GeomFromText('POINT(-1.5 1e10)'));
INSERT INTO t VALUES (100, NULL);
UPDATE t SET v = NULL WHERE id = 1;
UPDATE t SET v = ST_GeomFromText('POINT(1 2)') WHERE id = 2;
UPDATE t SET v = ST_GeomFromText('POINT(-1.5 1e10)') WHERE id = 100;
UPDATE t SET id = 50 WHERE id = 2;
DELETE FROM t WHERE id = 3;
INSERT INTO t VALUES (200, ST_GeomFromText('POINT(1 2)')), (201, ST_GeomFromText('POINT(-1.5 1e10)'));
