CREATE TABLE t (id INT PRIMARY KEY, v ENUM('b','z','a'));
