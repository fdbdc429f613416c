SET binlog_row_value_options = 'PARTIAL_JSON';
INSERT INTO t VALUES (1, CONCAT('{"k": "', REPEAT('x', 300), '", "n": 1}'), 1);
UPDATE t SET j = JSON_SET(j, '$.n', 2);
UPDATE t SET j = JSON_REMOVE(j, '$.n'), a = 2;
