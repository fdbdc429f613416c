CREATE TABLE t (id INT PRIMARY KEY, v SET('a','b','c'));
