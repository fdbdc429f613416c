INSERT INTO `odd ``näme` VALUES (1, 2, 3);
UPDATE `odd ``näme` SET `a``b` = 7;
