CREATE TABLE `odd ``näme` (`select` BIGINT, `the id` INT PRIMARY KEY, `a``b` INT);
