XA START 'case3', 'branch', 7;
INSERT INTO t VALUES (1, 1);
XA END 'case3', 'branch', 7;
XA COMMIT 'case3', 'branch', 7 ONE PHASE;
INSERT INTO t VALUES (2, 2);
