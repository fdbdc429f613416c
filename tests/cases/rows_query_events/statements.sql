SET binlog_rows_query_log_events = ON;
INSERT INTO t VALUES (1, 1);
UPDATE t /* remark */ SET v = 2;
