"""Random schemas, mappings and changes on real servers: both sides hold the same through the mapping."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.test_schema_paths import Rig, ask
from tests.integration.test_type_matrix import SQL_KEY, create, not_stopped
from tests.integration.typepool import Entry, fitting

from lab import Server

pytestmark = [pytest.mark.servers, pytest.mark.slow]
ROUNDS = int(os.environ.get("SEGUE_RANDOM_ROUNDS", "1"))
PAIRING = tuple(os.environ.get("SEGUE_RANDOM_PAIRING", "mariadb-mysql").split("-"))


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """Columns, which are renamed, ignored and added, in which order, by which path, and what is done to the rows."""
    pool = fitting(*PAIRING)
    entries = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=8))
    numbers = range(len(entries))
    ignored = draw(st.sets(st.sampled_from(list(numbers)), max_size=2))
    renamed = draw(st.sets(st.sampled_from(list(numbers)), max_size=3)) - ignored
    return {
        "entries": entries, "ignored": ignored, "renamed": renamed, "added": draw(st.integers(0, 3)),
        "sql": draw(st.booleans()), "order": draw(st.randoms(use_true_random=False)).random(),
        "steps": draw(st.lists(st.tuples(st.sampled_from("IUDK"), st.integers(1, 6), st.integers(0, 99)), min_size=1, max_size=12)),
    }  # fmt: skip


def there_name(table: dict[str, Any], number: int) -> str:
    return f"new{number}" if number in table["renamed"] else f"c{number}"


def build(blue: Server, green: Server, table: dict[str, Any]) -> str:
    """The table on both sides; the section of the configuration."""
    entries: list[Entry] = table["entries"]
    create(blue, "t", "id INT PRIMARY KEY", [f"c{n} {e.source}" for n, e in enumerate(entries)])
    columns = [f"{there_name(table, n)} {e.target}" for n, e in enumerate(entries) if n not in table["ignored"]]
    columns += [f"x{n} {('INT NOT NULL DEFAULT 7', 'VARCHAR(5)', 'BIGINT')[n]}" for n in range(table["added"])]
    random.Random(table["order"]).shuffle(columns)
    create(green, "t", SQL_KEY if table["sql"] else "id INT PRIMARY KEY", columns or ["unused INT"])
    rename = ", ".join(f'c{n} = "new{n}"' for n in table["renamed"])
    ignore = ", ".join(f'"c{n}"' for n in table["ignored"])
    return f'[[replicate.table]]\nsource = "shop.t"\nrename = {{ {rename} }}\nignore_columns = [{ignore}]\n'


def change(cursor: Any, table: dict[str, Any]) -> None:
    entries: list[Entry] = table["entries"]
    for verb, key, seed in table["steps"]:
        rng = random.Random(seed)
        values = [rng.choice((*e.values, "NULL")) for e in entries]
        if verb == "I":
            cursor.execute(f"INSERT IGNORE INTO shop.t VALUES ({key}, {', '.join(values)})")
        elif verb == "U":
            sets = ", ".join(f"c{n} = {v}" for n, v in enumerate(values))
            cursor.execute(f"UPDATE shop.t SET {sets} WHERE id >= {key}")
        elif verb == "K":
            cursor.execute(f"UPDATE IGNORE shop.t SET id = id + 10 WHERE id = {key}")
        else:
            cursor.execute(f"DELETE FROM shop.t WHERE id = {key}")


def test_random_tables(pairs: Callable[[str], tuple[Server, Server]], tmp_path: Path) -> None:
    blue, green = pairs(PAIRING[0])[0], pairs(PAIRING[1])[1]
    number = 0

    @settings(max_examples=ROUNDS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(tables())
    def run(table: dict[str, Any]) -> None:
        nonlocal number
        number += 1
        for server in (blue, green):
            server.sql("SET GLOBAL read_only = OFF")
            for schema in ("shop", "segue"):
                server.sql(f"DROP DATABASE IF EXISTS {schema}")
        rules = build(blue, green, table)
        rig = Rig(tmp_path / f"d{number}", blue, green, rules)
        try:
            rig.deployment.start()
            with blue.connect() as conn, conn.cursor() as cursor:
                cursor.execute("SET SESSION sql_mode = '', time_zone = '+00:00'")
                change(cursor, table)
            shown = [(e, n) for n, e in enumerate(table["entries"]) if n not in table["ignored"]]
            here = ", ".join(["id", *(e.asked.format(c=f"c{n}") for e, n in shown)])
            there = ", ".join(["id", *((e.asked_there or e.asked).format(c=there_name(table, n)) for e, n in shown)])
            wanted = ask(blue, f"SELECT {here} FROM shop.t ORDER BY id")
            question = f"SELECT {there} FROM shop.t ORDER BY id"
            rig.deployment.wait_for(lambda s: not_stopped(s) and ask(green, question) == wanted)
        finally:
            rig.deployment.stop()

    run()
