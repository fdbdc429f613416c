CREATE TABLE `odd ``näme` (`the id` INT PRIMARY KEY, `a``b` INT, `select` INT);
