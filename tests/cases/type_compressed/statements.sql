INSERT INTO t VALUES (1, REPEAT('ab', 300), REPEAT('xyz', 3000)), (2, '', NULL), (3, 'short', 'ä');
UPDATE t SET w = REPEAT('q', 200) WHERE id = 3;
