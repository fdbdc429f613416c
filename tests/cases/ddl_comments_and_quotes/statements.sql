/* first */ ALTER /*!50000 TABLE */ `t` -- remark
 ADD `a``b` INT COMMENT 'DROP TABLE t; -- '';' /* RENAME TO x */;
INSERT INTO t VALUES (1, 1, 1);
SET sql_mode = 'ANSI_QUOTES';
ALTER TABLE "t" ADD "c" INT DEFAULT 4;
INSERT INTO t VALUES (2, 2, 2, 2);
