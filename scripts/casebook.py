"""The cases of tests/cases: read them, run them through a real feed between real servers, print the table.

`python -m casebook [name ...]` prints what became of each group of cases for each pairing of flavours and each path.

A case is prepared on the source once per flavour. Its binlog is then replicated to each target flavour twice: by an
account that may use BINLOG (bytes) and by one that may not (sql). All cases of such a run share one feed; each has a
schema of its own. A case that stops the feed is noted, left out, and the feed goes on without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
from pymysql.constants import CLIENT

from lab.accounts import SEGUE, create_accounts
from lab.deployment import APP_PASSWORD, SEGUE_PASSWORD
from lab.server import Flavour, Lab, Server
from segue.binlog.events import BinlogError
from segue.binlog.positions import parse
from segue.config import Endpoint, Replicate
from segue.errors import ConnectionLost, SegueError
from segue.flavour import detect
from segue.log import configure
from segue.replicate import progress
from segue.replicate.applier import Applier
from segue.replicate.assembler import Stop
from segue.replicate.feed import Feed
from segue.replicate.order import Order
from segue.replicate.sides import BothSides
from segue.roles import mapping_from
from segue.sql import connect

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "cases"
FLAVOURS: tuple[Flavour, ...] = ("mysql", "mariadb")
PATHS = ("bytes", "sql")
PASSWORD = SEGUE_PASSWORD
LIMIT = 90.0
_FRESH = (
    "DROP DATABASE IF EXISTS `{schema}`; CREATE DATABASE `{schema}` CHARACTER SET utf8mb4"
    " COLLATE utf8mb4_bin; USE `{schema}`; "
)
_ACCOUNTS = {"bytes": "segue", "sql": "segue_sql"}
_DURABLE = ("innodb_flush_log_at_trx_commit", "sync_binlog")
_BINLOG = {"mysql": ", REPLICATION_APPLIER", "mariadb": ", BINLOG REPLAY"}
"""What the account for statements lacks."""


@dataclass(frozen=True)
class Case:
    """One folder. What the keys mean: tests/cases/README.md."""

    name: str
    group: str
    source: str
    target: str
    statements: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    paths: tuple[str, ...]
    rules: tuple[dict[str, Any], ...]
    compare: tuple[tuple[str, str], ...]
    check: tuple[tuple[str, str], ...]
    refused: str
    stops: str
    only: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> Case:
        facts = tomllib.loads((folder / "case.toml").read_text())
        source = (folder / "source.sql").read_text()
        target = folder / "target.sql"
        return cls(
            folder.name, facts["group"], source, target.read_text() if target.exists() else source,
            (folder / "statements.sql").read_text(), tuple(facts.get("source", FLAVOURS)),
            tuple(facts.get("target", FLAVOURS)), tuple(facts.get("paths", PATHS)), tuple(facts.get("rule", ())),
            tuple((a, b) for a, b in facts.get("compare", ())), tuple((a, b) for a, b in facts.get("check", ())),
            facts.get("refused", ""), facts.get("stops", ""), tuple(facts.get("only", ())),
        )  # fmt: skip

    @property
    def schema(self) -> str:
        return f"case_{self.name}"

    def fits(self, source: str, target: str, path: str) -> bool:
        """Whether it is for this pairing and path; `only` names pairings as "mysql-mariadb"."""
        if self.only and f"{source}-{target}" not in self.only:
            return False
        return source in self.sources and target in self.targets and path in self.paths

    def table_rules(self) -> Iterator[dict[str, Any]]:
        for rule in self.rules:
            full = {k: f"{self.schema}.{rule[k]}" for k in ("source", "target") if k in rule}
            yield rule | full


def read_all(names: Iterable[str] = ()) -> list[Case]:
    """Every case, or those named, by name."""
    wanted = set(names)
    folders = sorted(p.parent for p in FOLDER.glob("*/case.toml"))
    return [Case.read(f) for f in folders if not wanted or f.name in wanted]


@dataclass
class Outcome:
    """What became of one case in one run: empty `wrong` is right."""

    wrong: str = ""
    said: str = ""
    """The refusal or stop, where that is what the case expects."""


@dataclass
class Prepared:
    """A source with all its cases done."""

    server: Server
    cases: list[Case]
    begin: str
    end: str
    rows: dict[str, list[list[tuple[str | None, ...]]]] = field(default_factory=dict)
    """Answers of the source to each case's questions."""
    questions: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    """Cases that the source itself refused."""


def run_sql(server: Server, text: str, schema: str) -> None:
    """A script in one packet, in a session of its own; raises the server's error of any of its statements."""
    with server.connect(database=schema, client_flag=CLIENT.MULTI_STATEMENTS, charset="utf8mb4") as conn:
        _script(conn, text)


def _script(conn: pymysql.Connection[Any], text: str) -> None:
    with conn.cursor() as cursor:
        cursor.execute(text)
        while cursor.nextset():
            pass


def asking(server: Server) -> pymysql.Connection[Any]:
    """A session for questions and definitions. Values come as the server writes them."""
    return server.connect(charset="utf8mb4", conv={}, client_flag=CLIENT.MULTI_STATEMENTS,
                          init_command="SET time_zone = '+00:00', sql_log_bin = 0")  # fmt: skip


def ask(conn: pymysql.Connection[Any], query: str, schema: str) -> list[tuple[str | None, ...]]:
    """Rows, sorted."""
    conn.select_db(schema)
    with conn.cursor() as cursor:
        cursor.execute(query)
        return sorted((tuple(_text(v) for v in row) for row in cursor.fetchall()), key=repr)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


def questions(conn: pymysql.Connection[Any], case: Case) -> list[tuple[str, str]]:
    """What to ask the source and the target; by default every column of every table."""
    if case.compare:
        return list(case.compare)
    found: dict[str, list[str]] = {}
    rows = ask(conn, "SELECT c.TABLE_NAME, LPAD(c.ORDINAL_POSITION, 5, '0'), c.COLUMN_NAME, c.DATA_TYPE FROM"
                     " information_schema.COLUMNS c JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME)"
                     " WHERE t.TABLE_TYPE = 'BASE TABLE' AND c.TABLE_SCHEMA = DATABASE()", case.schema)  # fmt: skip
    binary = {"geometry", "point", "linestring", "polygon", "vector", "bit", "geomcollection", "geometrycollection",
              "multipoint", "binary", "varbinary", "blob", "longblob", "mediumblob", "tinyblob"}  # fmt: skip
    for table, _, column, kind in rows:
        assert table is not None
        assert column is not None
        name = "`" + column.replace("`", "``") + "`"
        found.setdefault(table, []).append(f"HEX({name})" if kind in binary else name)
    texts = [f"SELECT {', '.join(columns)} FROM `{table.replace('`', '``')}`" for table, columns in found.items()]
    return [(t, t) for t in texts]


def prepare(server: Server, cases: list[Case]) -> Prepared:
    """Make the cases' tables on the source and run their statements."""
    mine = [c for c in cases if server.flavour in c.sources]
    one = Prepared(server, mine, "", "")
    with asking(server) as conn:
        one.broken = define(conn, [(c, c.source) for c in mine])
        one.begin = _position(server)
        for case in mine:
            try:
                if case.name not in one.broken:
                    run_sql(server, case.statements.replace("{tmp}", str(server.folder / "tmp")), case.schema)
            except pymysql.MySQLError as error:
                one.broken[case.name] = f"the source refused a statement: {error}"
        one.end = _position(server)
        for case in mine:
            if not (case.refused or case.stops or case.name in one.broken):
                one.questions[case.name] = questions(conn, case)
                one.rows[case.name] = [ask(conn, here, case.schema) for here, _ in one.questions[case.name]]
    return one


def define(conn: pymysql.Connection[Any], cases: list[tuple[Case, str]]) -> dict[str, str]:
    """Each case's schema anew with its tables; why not, by case."""
    broken = {}
    for case, text in cases:
        try:
            _script(conn, _FRESH.format(schema=case.schema) + text)
        except pymysql.MySQLError as error:
            broken[case.name] = f"its definition was refused: {error}"
    return broken


def _position(server: Server) -> str:
    variable = "gtid_executed" if server.flavour == "mysql" else "gtid_binlog_pos"
    return str(server.sql(f"SELECT @@GLOBAL.{variable}")[0][0]).replace("\n", "")


class Run:
    """One source, one target, one path."""

    def __init__(self, prepared: Prepared, target: Server, path: str) -> None:
        self.prepared, self.target, self.path = prepared, target, path
        self.cases = [c for c in prepared.cases if c.fits(prepared.server.flavour, target.flavour, path)]
        self.outcomes = {c.name: Outcome(prepared.broken.get(c.name, "")) for c in self.cases}
        self._endpoints = [
            Endpoint(host=s.host, port=s.port, user=user, password=PASSWORD, tls="disabled")  # type: ignore[arg-type]
            for s, user in ((prepared.server, "segue"), (target, _ACCOUNTS[path]))
        ]

    def go(self) -> dict[str, Outcome]:
        with asking(self.target) as conn:
            _script(conn, "DROP DATABASE IF EXISTS segue")
            for name, why in define(conn, [(c, c.target) for c in self.cases]).items():
                self.outcomes[name].wrong = why
            asyncio.run(self._replicate())
            for case in self.cases:
                if not (case.refused or case.stops or self.outcomes[case.name].wrong):
                    self.outcomes[case.name].wrong = self._difference(conn, case)
        return self.outcomes

    def _order(self, cases: Iterable[Case], deployment: str) -> Order:
        chosen = list(cases)
        replicate = Replicate.model_validate(
            {"schemas": [c.schema for c in chosen], "on_ddl": "apply", "table": [r for c in chosen for r in c.table_rules()]}
        )
        return Order(deployment, self._endpoints[0], "blue", self._endpoints[1], "green",
                     mapping_from("blue", replicate), "apply", 1)  # fmt: skip

    async def _replicate(self) -> None:
        target = await connect(self._endpoints[1])
        source = await connect(self._endpoints[0])
        self._source_id = (await (await detect(source)).identify(source)).source_id
        await progress.ensure(target)
        try:
            await self._refusals()
            going = [c for c in self.cases if not (c.refused or c.stops or self.outcomes[c.name].wrong)]
            await progress.initialise(target, "cases", self._source_id, self.prepared.begin, 1)
            await self._all_of(going)
            for case in self.cases:
                if case.stops and not self.outcomes[case.name].wrong:
                    await progress.initialise(target, case.name, self._source_id, self.prepared.begin, 1)
                    told = await self._feed([case], case.name)
                    self.outcomes[case.name] = _expected(case.stops, told)
        finally:
            await source.close()
            await target.close()

    async def _refusals(self) -> None:
        """What the comparison says beforehand; the same sentences stop the stream."""
        chosen = [c for c in self.cases if c.refused and not self.outcomes[c.name].wrong]
        if not chosen:
            return
        order = self._order(chosen, "cases")
        source = await connect(self._endpoints[0])
        flavour = await detect(source)
        applier = await Applier.open(order.target, "green", "cases")
        try:
            applier.binlog_allowed = self.path == "bytes"
            plan = await BothSides(order, (source, flavour), applier, lambda: parse("", mariadb=False)).plan()
            for case in chosen:
                names = self.prepared.server.sql("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s",
                                                 (case.schema,))  # fmt: skip
                tables = {(case.schema, str(n)) for (n,) in names}
                self.outcomes[case.name] = _expected(case.refused, "; ".join(plan.differences(tables)))
        finally:
            await applier.close()
            await source.close()

    async def _all_of(self, cases: list[Case]) -> None:
        left = {c.schema: c for c in cases}
        while left:
            told = await self._feed(left.values(), "cases")
            if not told:
                return
            found = next((s for s in re.findall(r"case_\w+", told) if s in left), None)
            if found is None:
                for case in left.values():
                    self.outcomes[case.name].wrong = f"the feed of all cases stopped: {told}"
                return
            self.outcomes[left.pop(found).name].wrong = f"the stream stopped: {told}"

    async def _feed(self, cases: Iterable[Case], deployment: str) -> str:
        """Until the source's end; why it stopped before. A lost connection is made again, as the replicator does."""
        order = self._order(cases, deployment)
        deadline = time.monotonic() + LIMIT
        careful, told = False, ""
        while True:
            try:
                return await self._life(Feed(order, lambda: None, careful=careful), deadline)
            except Stop as stop:
                told = f"Stop: {stop}"
                if careful:
                    return told
                careful = True
            except ConnectionLost as lost:
                told = f"ConnectionLost: {lost}"
                if time.monotonic() > deadline:
                    return told
                await asyncio.sleep(0.2)
            except (SegueError, BinlogError) as error:
                return f"{type(error).__name__}: {error}"

    async def _life(self, feed: Feed, deadline: float) -> str:
        """One life of a feed; why it did not come to the source's end. Raises what ends the feed."""
        end = parse(self.prepared.end, mariadb=self.prepared.server.flavour == "mariadb")
        task = asyncio.create_task(feed.run())
        while not task.done():
            await asyncio.wait({task}, timeout=0.02)
            if feed.stopped is not None and feed.ddl is not None and feed.ddl["state"] == "waiting":
                told = feed.stopped.message
            elif feed.applied is not None and feed.applied.contains(end):
                told = ""
            elif time.monotonic() < deadline:
                feed.hurry()
                continue
            else:
                told = "it did not come to the end in time"
            feed.end()
            await asyncio.wait({task}, timeout=20.0)
            task.cancel()
            with contextlib.suppress(SegueError, asyncio.CancelledError):
                await task
            return told
        await task
        return ""

    def _difference(self, conn: pymysql.Connection[Any], case: Case) -> str:
        """How the target's answers differ from the source's; empty when they do not."""
        try:
            pairs = self.prepared.questions[case.name]
            for (here, there), wanted in zip(pairs, self.prepared.rows[case.name], strict=True):
                found = ask(conn, there, case.schema)
                if not _equal(wanted, found):
                    return f"{here}: the source has {_first(wanted, found)}, the target {_first(found, wanted)}"
            for query, expected in case.check:
                text = "\n".join("\t".join("NULL" if v is None else v for v in row) for row in ask(conn, query, case.schema))
                if text != expected:
                    return f"{query}: {text!r} and not {expected!r}"
        except pymysql.MySQLError as error:
            return f"the target cannot be asked: {error}"
        if not any(self.prepared.rows[case.name]) and not case.check:
            return "the case leaves no row: it proves nothing"
        return ""


def _equal(one: list[tuple[str | None, ...]], two: list[tuple[str | None, ...]]) -> bool:
    return one == two or [[_loose(v) for v in r] for r in one] == [[_loose(v) for v in r] for r in two]


def _loose(value: str | None) -> Any:
    """JSON text counts by its meaning: the flavours write it differently."""
    if value and value[0] in "{[":
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value


def _first(one: list[tuple[str | None, ...]], two: list[tuple[str | None, ...]]) -> str:
    return str([r for r in one if r not in two][:3])[:600]


def _expected(pattern: str, told: str) -> Outcome:
    if not told:
        return Outcome("it was let through, though it should be refused")
    if re.search(pattern, told, re.DOTALL) is None:
        return Outcome(f"refused, but not by /{pattern}/: {told}")
    return Outcome("", told)


class Book:
    """All cases over a pair of servers of each flavour; runs are made when asked for, once."""

    def __init__(self, pair: Callable[[Any], tuple[Server, Server]], cases: list[Case]) -> None:
        """`pair(flavour)` gives a source and a target server; it is asked once for each."""
        self._pair = pair
        self._cases = cases
        self._servers: dict[str, tuple[Server, Server]] = {}
        self._prepared: dict[str, Prepared] = {}
        self._done: dict[tuple[str, str, str], dict[str, Outcome]] = {}

    def outcomes(self, source: Flavour, target: Flavour, path: str) -> dict[str, Outcome]:
        """By case name, of those that fit."""
        key = (source, target, path)
        if key not in self._done:
            if source not in self._prepared:
                self._prepared[source] = prepare(self._pair_of(source)[0], self._cases)
            self._done[key] = Run(self._prepared[source], self._pair_of(target)[1], path).go()
        return self._done[key]

    def close(self) -> None:
        """Leave the servers as they were."""
        for pair in self._servers.values():
            for server in pair:
                for name in _DURABLE:
                    server.sql(f"SET GLOBAL {name} = 1")

    def _pair_of(self, flavour: Flavour) -> tuple[Server, Server]:
        if flavour not in self._servers:
            self._servers[flavour] = self._pair(flavour)
            for server in self._servers[flavour]:
                _open_accounts(server)
                for name in _DURABLE:
                    server.sql(f"SET GLOBAL {name} = 0")  # a thousand definitions; nobody pulls the plug here
        return self._servers[flavour]


def _open_accounts(server: Server) -> None:
    create_accounts(server, segue_password=PASSWORD, app_password=APP_PASSWORD, schemas=())
    with server.connect() as conn, conn.cursor() as cursor:
        cursor.execute("SET sql_log_bin = 0")
        cursor.execute("CREATE USER IF NOT EXISTS segue_sql@'%%' IDENTIFIED BY %s", (PASSWORD,))
        cursor.execute(f"GRANT {SEGUE[server.flavour].replace(_BINLOG[server.flavour], '')} ON *.* TO segue_sql@'%'")


def main() -> None:
    """Run and print: a line per group, a column per pairing and path."""
    configure(process="cases", level="error")
    cases = read_all(sys.argv[1:])
    with Lab() as lab:
        servers: dict[str, tuple[Server, Server]] = {}

        def pair(flavour: Flavour) -> tuple[Server, Server]:
            if flavour not in servers:
                servers[flavour] = lab.start(flavour, f"{flavour}-one"), lab.start(flavour, f"{flavour}-two")
            return servers[flavour]

        book = Book(pair, cases)
        columns = [(s, t, p) for s in FLAVOURS for t in FLAVOURS for p in PATHS]
        results = {}
        for column in columns:
            began = time.monotonic()
            results[column] = book.outcomes(*column)
            print(f"{'-'.join(column)}: {len(results[column])} cases in {time.monotonic() - began:.1f} s", flush=True)
    wrong = _print(cases, columns, results)
    sys.exit(1 if wrong else 0)


def _print(cases: list[Case], columns: list[tuple[Flavour, Flavour, str]], results: dict[Any, dict[str, Outcome]]) -> int:
    from rich.console import Console
    from rich.table import Table

    table = Table("group", *(f"{s[:3]}>{t[:3]} {p}" for s, t, p in columns), title="equal + refused as expected / wrong")
    wrong = 0
    for group in sorted({c.group for c in cases}):
        cells = []
        for column in columns:
            mine = [(c, results[column][c.name]) for c in cases if c.group == group and c.name in results[column]]
            bad = [c.name for c, o in mine if o.wrong]
            wrong += len(bad)
            refused = sum(bool(o.said) for _, o in mine)
            good = len(mine) - len(bad) - refused
            cells.append(f"{good}+{refused}" + (f" / {len(bad)}" if bad else "") if mine else "-")
        table.add_row(group, *cells)
    Console(width=160).print(table)
    for column in columns:
        for name, outcome in results[column].items():
            if outcome.wrong:
                print("WRONG", "-".join(column), name, outcome.wrong[:700])
    print(f"{len(cases)} cases, {sum(len(r) for r in results.values())} runs, {wrong} wrong")
    return wrong


if __name__ == "__main__":
    main()
