CREATE TABLE t (id INT PRIMARY KEY, v ENUM('a','b','ä€',''));
