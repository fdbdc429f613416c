INSERT INTO t VALUES (8, CONCAT('["', REPEAT('x', 100), '"]'));
