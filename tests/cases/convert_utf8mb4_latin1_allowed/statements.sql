INSERT INTO t VALUES (1, 'abé'), (2, NULL);
