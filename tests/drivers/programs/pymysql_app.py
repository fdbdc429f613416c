"""PyMySQL: text protocol."""

import sys

import pymysql
from app import Application


class App(Application):
    def connect(self):
        self.conn = pymysql.connect(host="127.0.0.1", port=self.port, user="app", password=self.password, database="shop")
        self.run("SET @mark = %s, time_zone = '+03:00'", (self.client,))

    def run(self, sql, args=()):
        with self.conn.cursor() as cursor:
            cursor.execute(sql, args)
            return cursor.fetchall()

    def round(self, seq):
        self.run("BEGIN")
        self.run("UPDATE accounts SET balance = balance + 0 WHERE id = %s", (self.client,))
        self.run("INSERT INTO entries (client, seq, note) VALUES (%s, %s, %s)", (self.client, seq, "é" * (seq % 20)))
        self.check(*self.run("SELECT @mark, @@time_zone")[0])
        self.conn.commit()


App(sys.argv, pymysql.err.MySQLError).main()
