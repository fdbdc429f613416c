SELECT n, CONCAT('value ', n) INTO OUTFILE '{tmp}/load_data.txt' FROM (SELECT 1 AS n UNION SELECT 2 UNION SELECT 3) q;
LOAD DATA INFILE '{tmp}/load_data.txt' INTO TABLE t;
