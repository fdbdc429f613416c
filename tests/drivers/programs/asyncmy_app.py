"""asyncmy: text protocol, asyncio."""

import asyncio
import sys

import asyncmy
from app import Application
from asyncmy.errors import MySQLError


class App(Application):
    loop = asyncio.new_event_loop()

    def connect(self):
        self.conn = self.loop.run_until_complete(asyncmy.connect(
            host="127.0.0.1", port=self.port, user="app", password=self.password, database="shop", echo=False))
        self.loop.run_until_complete(self.run("SET @mark = %s, time_zone = '+03:00'", (self.client,)))

    async def run(self, sql, args=None):
        async with self.conn.cursor() as cursor:
            await cursor.execute(sql, args)
            return await cursor.fetchall() if cursor.description else ()

    async def work(self, seq):
        await self.run("BEGIN")
        await self.run("UPDATE accounts SET balance = balance + 0 WHERE id = %s", (self.client,))
        await self.run("INSERT INTO entries (client, seq, note) VALUES (%s, %s, %s)", (self.client, seq, "é" * (seq % 20)))
        self.check(*(await self.run("SELECT @mark, @@time_zone"))[0])
        await self.conn.commit()

    def round(self, seq):
        self.loop.run_until_complete(self.work(seq))


App(sys.argv, (MySQLError, OSError, EOFError)).main()
