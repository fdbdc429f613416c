"""SQLAlchemy with a pool of four PyMySQL connections; what it holds between rounds is idle in the pool."""

import itertools
import sys

import sqlalchemy as sa
from app import Application


class App(Application):
    def connect(self):
        if hasattr(self, "engine"):
            return  # the pool replaces what was lost by itself
        url = sa.URL.create("mysql+pymysql", "app", self.password, "127.0.0.1", self.port, "shop")
        self.engine = sa.create_engine(url, pool_size=4, max_overflow=0)
        sa.event.listen(self.engine, "connect", self.prepare)
        held = [self.engine.connect() for _ in range(4)]
        for conn in held:
            conn.close()
        self.turns = itertools.cycle(range(4))

    def prepare(self, dbapi, _record):
        with dbapi.cursor() as cursor:
            cursor.execute("SET @mark = %s, time_zone = '+03:00'", (self.client,))

    def round(self, seq):
        others = [self.engine.connect() for _ in range(next(self.turns))]  # so that each has its turn
        try:
            with self.engine.begin() as conn:
                conn.execute(sa.text("UPDATE accounts SET balance = balance + 0 WHERE id = :id"), {"id": self.client})
                conn.execute(sa.text("INSERT INTO entries (client, seq, note) VALUES (:c, :s, :n)"),
                             {"c": self.client, "s": seq, "n": "é" * (seq % 20)})
                self.check(*conn.execute(sa.text("SELECT @mark, @@time_zone")).one())
        finally:
            for conn in others:
                conn.close()


App(sys.argv, sa.exc.DBAPIError).main()
