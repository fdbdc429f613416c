"""mysqlclient (libmariadb)."""

import sys

import MySQLdb
from app import Application


class App(Application):
    def connect(self):
        self.conn = MySQLdb.connect(host="127.0.0.1", port=self.port, user="app", passwd=self.password, db="shop",
                                    charset="utf8mb4")
        self.run("SET @mark = %s, time_zone = '+03:00'", (self.client,))

    def run(self, sql, args=()):
        cursor = self.conn.cursor()
        cursor.execute(sql, args)
        return cursor.fetchall()

    def round(self, seq):
        self.run("UPDATE accounts SET balance = balance + 0 WHERE id = %s", (self.client,))  # autocommit is off
        self.run("INSERT INTO entries (client, seq, note) VALUES (%s, %s, %s)", (self.client, seq, "é" * (seq % 20)))
        self.check(*self.run("SELECT @mark, @@time_zone")[0])
        self.conn.commit()


App(sys.argv, MySQLdb.Error).main()
