SET binlog_annotate_row_events = ON;
INSERT INTO t VALUES (1, 1);
UPDATE t /* remark */ SET v = 2;
