CREATE TABLE t (id INT PRIMARY KEY, v SET('x','y','z'));
