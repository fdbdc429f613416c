CREATE TABLE t (id INT PRIMARY KEY, v SET('y','z','x'));
