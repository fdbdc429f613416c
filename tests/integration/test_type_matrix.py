"""Every type, by every pairing of flavours, as bytes and by statements: each value arrives equal."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.amount import WHOLE
from tests.integration.test_schema_paths import PAIRINGS, Pairs, Rig, ask
from tests.integration.typepool import Entry, fitting

from lab import Server

pytestmark = pytest.mark.servers
SQL_KEY = "n BIGINT AUTO_INCREMENT PRIMARY KEY, id INT NOT NULL UNIQUE"
"""Another primary key, so that the table goes by statements."""


@pytest.fixture
def make(pairs: Pairs, tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def one(pairing: tuple[str, str], replicate: str) -> Rig:
        rig = Rig(tmp_path / "deployment", pairs(pairing[0])[0], pairs(pairing[1])[1], replicate)
        made.append(rig)
        return rig

    yield one
    for rig in made:
        rig.deployment.stop()


def create(server: Server, table: str, key: str, columns: list[str]) -> None:
    server.sql("CREATE DATABASE IF NOT EXISTS shop")
    server.sql(f"CREATE TABLE shop.{table} ({key}, {', '.join(columns)}) ENGINE=InnoDB ROW_FORMAT=DYNAMIC")


def fill(blue: Server, table: str, entries: list[Entry], rng: random.Random) -> None:
    """Every value inserted, updated to another, some rows deleted."""
    most = max(len(e.values) for e in entries)
    names = [f"c{n}" for n in range(len(entries))]
    with blue.connect() as conn, conn.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'")
        for number in range(most + 2):
            values = [e.values[number] if number < len(e.values) else "NULL" for e in entries]
            cursor.execute(f"INSERT INTO shop.{table} (id, {', '.join(names)}) VALUES ({number}, {', '.join(values)})")
        for number in range(most + 1):
            sets = [f"{n} = {rng.choice((*e.values, 'NULL'))}" for n, e in zip(names, entries, strict=True) if rng.random() < 0.6]
            cursor.execute(f"UPDATE shop.{table} SET {', '.join(sets)} WHERE id = {number}")
        cursor.execute(f"DELETE FROM shop.{table} WHERE id = {most + 1}")


@pytest.mark.slow
@pytest.mark.parametrize("pairing", PAIRINGS if WHOLE else PAIRINGS[2:], ids="-".join)
def test_every_type(make: Callable[..., Rig], pairing: tuple[str, str]) -> None:
    entries = fitting(*pairing)
    rules = ""
    for table in ("bytes", "statements"):
        rules += f'[[replicate.table]]\nsource = "shop.{table}"\nrename = {{ c0 = "first" }}\n'
    one = make(pairing, rules)
    rng = random.Random(7)
    for table in ("bytes", "statements"):
        key = "id INT PRIMARY KEY"
        create(one.blue, table, key, [f"c{n} {e.source}" for n, e in enumerate(entries)])
        there = [f"{'first' if n == 0 else f'c{n}'} {e.target}" for n, e in enumerate(entries)]
        rng.shuffle(there)
        create(one.green, table, SQL_KEY if table == "statements" else key, there)
    one.deployment.start()
    for table in ("bytes", "statements"):
        fill(one.blue, table, entries, rng)
    wanted = ask(one.blue, "SELECT COUNT(*), MAX(id) FROM shop.statements")
    one.deployment.wait_for(lambda s: not_stopped(s) and ask(one.green, "SELECT COUNT(*), MAX(id) FROM shop.statements") == wanted)
    result = {}
    for table in ("bytes", "statements"):
        for number, entry in enumerate(entries):
            name = f"c{number}"
            here = ask(one.blue, f"SELECT id, {entry.asked.format(c=name)} FROM shop.{table} ORDER BY id")
            there_name = "first" if number == 0 else name
            found = ask(one.green, f"SELECT id, {(entry.asked_there or entry.asked).format(c=there_name)} FROM shop.{table} ORDER BY id")
            result[f"{entry.name} by {table}"] = "equal" if here == found else f"{here} -> {found}"
    if folder := os.environ.get("SEGUE_MATRIX"):
        (Path(folder) / f"{'-'.join(pairing)}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False))
    assert {k: v for k, v in result.items() if v != "equal"} == {}
    plans = one.deployment.segue("status")[1]["replication"]["details"]["plans"]
    assert plans["shop.statements"] == "sql"


def not_stopped(status: dict[str, Any]) -> bool:
    assert status["replication"]["state"] != "stopped", status["replication"]["error"]
    return True
