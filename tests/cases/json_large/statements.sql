INSERT INTO t SELECT 1, CONCAT('[', REPEAT('{"key": "value", "n": 12345},', 5000), 'null]');
UPDATE t SET v = JSON_SET(v, '$[0].key', 'new') WHERE id = 1;
