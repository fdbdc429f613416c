"""Tables of the target altered by an operator while rows come: no value goes into a wrong column."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from tests.conftest import FLAVOURS
from tests.integration.feeding import Feeding
from tests.integration.test_schema_paths import Rig, ask
from tests.integration.test_schema_paths import rig as rig  # noqa: PLC0414 - a fixture

from lab import Server
from segue.replicate.guard import Altered

pytestmark = pytest.mark.servers
Pairs = Callable[[str], tuple[Server, Server]]
TABLE = "CREATE TABLE shop.{} (id INT PRIMARY KEY, a INT NOT NULL, b INT NOT NULL, c LONGTEXT)"


@pytest.fixture
def feeding(pairs: Pairs) -> Iterator[Callable[..., Feeding]]:
    made: list[Feeding] = []

    def make(flavour: str, *tables: str) -> Feeding:
        blue, green = pairs(flavour)
        for server in (blue, green):
            server.sql("CREATE DATABASE shop")
            for table in tables:
                server.sql(TABLE.format(table))
        feed = Feeding(blue, green)
        made.append(feed)
        feed.start()
        feed.wait(lambda: feed.applied is not None)
        return feed

    yield make
    for feed in made:
        feed.stop()


def refused(feed: Feeding) -> str:
    """Until the feed ends; why."""
    assert feed._thread is not None
    feed._thread.join(60.0)
    assert isinstance(feed.error, Altered), feed.error
    return str(feed.error)


CHANGES = (
    "ADD COLUMN x INT AFTER a", "MODIFY b INT NOT NULL AFTER id", "CHANGE a b INT NOT NULL, CHANGE b a INT NOT NULL",
    "MODIFY a INT UNSIGNED NOT NULL", "ADD COLUMN x INT AFTER a, ADD UNIQUE (b)",
    "DROP COLUMN a, ADD COLUMN z INT NOT NULL DEFAULT 0",  # last, since no row can follow
)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_altered_before_the_next_row(feeding: Callable[..., Feeding], flavour: str) -> None:
    """The servers take most of these rows, since the types are alike; the transaction must not be committed."""
    tables = [f"t{number}" for number in range(len(CHANGES))]
    feed = feeding(flavour, *tables)
    for table, change in zip(tables, CHANGES, strict=True):
        feed.source.sql(f"INSERT INTO shop.{table} VALUES (1, 10, 100, '')")
        feed.same(f"shop.{table}")
        feed.target.sql(f"ALTER TABLE shop.{table} {change}")
        there = ask(feed.target, f"SELECT * FROM shop.{table}")
        feed.source.sql(f"INSERT INTO shop.{table} VALUES (2, 20, 200, '')")
        assert f"shop.{table}" in refused(feed)
        assert ask(feed.target, f"SELECT * FROM shop.{table}") == there
        feed.stop()
        feed.start()
        if change != CHANGES[-1]:
            wanted = ask(feed.source, f"SELECT id, a, b FROM shop.{table} WHERE id = 2")
            feed.wait(lambda t=table, w=wanted: ask(feed.target, f"SELECT id, a, b FROM shop.{t} WHERE id = 2") == w)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_altered_in_the_middle_of_a_transaction(feeding: Callable[..., Feeding], flavour: str) -> None:
    """A transaction of several batches has written to one table; the other is altered before it gets there."""
    feed = feeding(flavour, "t", "u")
    feed.source.sql("INSERT INTO shop.t VALUES (1, 10, 100, '')")
    feed.source.sql("INSERT INTO shop.u VALUES (1, 10, 100, '')")
    feed.same("shop.u")
    with feed.target.connect() as operator, operator.cursor() as cursor:
        cursor.execute("LOCK TABLES shop.u WRITE")
        with feed.source.connect() as conn, conn.cursor() as client:
            conn.autocommit(False)
            client.execute("INSERT INTO shop.t VALUES (2, 20, 200, REPEAT('x', 4000000))")
            client.execute("INSERT INTO shop.u VALUES (2, 20, 200, '')")
            conn.commit()
        feed.wait(lambda: bool(feed.target.sql("SELECT 1 FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table%'")))
        cursor.execute("ALTER TABLE shop.u ADD COLUMN x INT AFTER a")
        cursor.execute("UNLOCK TABLES")
    assert "shop.u" in refused(feed)
    assert ask(feed.target, "SELECT id, a, x, b FROM shop.u") == [(1, 10, None, 100)]
    assert ask(feed.target, "SELECT id FROM shop.t") == [(1,)]
    feed.stop()
    feed.start()
    feed.wait(lambda: ask(feed.target, "SELECT id, a, x, b FROM shop.u") == [(1, 10, None, 100), (2, 20, None, 200)])


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_trigger_made_before_the_next_statement(pairs: Pairs, flavour: str) -> None:
    """Rows that go by statements would fire it."""
    blue, green = pairs(flavour)
    blue.sql("CREATE DATABASE shop")
    green.sql("CREATE DATABASE shop")
    blue.sql("CREATE TABLE shop.t (id INT PRIMARY KEY, a INT NOT NULL)")
    green.sql("CREATE TABLE shop.t (n INT PRIMARY KEY AUTO_INCREMENT, id INT NOT NULL UNIQUE, a INT NOT NULL)")
    feed = Feeding(blue, green)
    feed.start()
    try:
        blue.sql("INSERT INTO shop.t VALUES (1, 10)")
        feed.wait(lambda: ask(green, "SELECT id, a FROM shop.t") == [(1, 10)])
        green.sql("CREATE TRIGGER shop.twice BEFORE INSERT ON shop.t FOR EACH ROW SET NEW.a = NEW.a * 2")
        blue.sql("INSERT INTO shop.t VALUES (2, 20)")
        assert "shop.t" in refused(feed)
        assert ask(green, "SELECT id, a FROM shop.t") == [(1, 10)]
    finally:
        feed.stop()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_altered_under_load(rig: Callable[..., Rig], flavour: str) -> None:
    """Columns added, moved, widened and taken away again while rows stream: in the end all are where they belong."""
    one = rig((flavour, flavour), TABLE.format("t"), TABLE.format("t"))
    over = threading.Event()

    def write() -> None:
        with one.blue.connect() as conn, conn.cursor() as cursor:
            number = 0
            while not over.is_set():
                number += 1
                cursor.execute(f"INSERT INTO shop.t VALUES ({number}, {number * 2}, {number * 3}, 'é')")
                if number % 3 == 0:
                    cursor.execute(f"UPDATE shop.t SET a = a + 1, b = b - 1 WHERE id = {number // 3}")

    def moves() -> None:
        before = one.green.sql("SELECT MAX(id) FROM shop.t")[0][0] or 0
        one.deployment.wait_for(lambda _s: (one.green.sql("SELECT MAX(id) FROM shop.t")[0][0] or 0) > before + 20, 60.0)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        moves()
        for change in ("ADD COLUMN x INT AFTER a", "MODIFY b INT NOT NULL AFTER id", "ADD KEY (b), ALGORITHM=INPLACE",
                       "MODIFY a BIGINT NOT NULL", "DROP COLUMN x", "ADD COLUMN y INT AFTER id, ALGORITHM=COPY"):  # fmt: skip
            one.green.sql(f"ALTER TABLE shop.t {change}")
            moves()
    finally:
        over.set()
        writer.join()
    one.same("SELECT id, a, b, c FROM shop.t ORDER BY id", "SELECT id, a, b, c FROM shop.t ORDER BY id", 60.0, mended=True)
    assert ask(one.green, "SELECT COUNT(*) FROM shop.t WHERE y IS NOT NULL") == [(0,)]
    one.green.sql("ALTER TABLE shop.t DROP COLUMN b")
    one.blue.sql("INSERT INTO shop.t VALUES (-1, 1, 1, '')")
    found = one.stopped()
    assert "shop.t.b: column b is missing on the target" in found["error"]
    assert "ALTER TABLE shop.t ADD COLUMN b int" in found["mend"]
