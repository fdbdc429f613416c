INSERT INTO t (v) VALUES (1), (2), (3), (4);
INSERT INTO t (v) SELECT v * 10 FROM t;
INSERT INTO t (v) SELECT a.v FROM t a, t b, t c;
