"""Every guardrail made to fail on real servers, then mended: by the statement it prints where it prints one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
import pytest

from lab import Deployment
from lab import Server as LabServer
from lab.deployment import APP_PASSWORD
from segue.config import load
from segue.roles import Roles
from segue.switchover import guardrails
from segue.switchover.journal import Journal
from segue.switchover.server import Server
from segue.switchover.wayback import WayBack

pytestmark = pytest.mark.servers
STREAMING = {"state": "streaming", "lag_seconds": 0.0}
TZ = ("INSERT INTO mysql.time_zone (Time_zone_id, Use_leap_seconds) VALUES (1, 'N')",
      "INSERT INTO mysql.time_zone_name VALUES ('UTC', 1), ('Europe/Vienna', 1)",
      "INSERT INTO mysql.time_zone_transition_type VALUES (1, 0, 0, 0, 'UTC')")  # fmt: skip
NO_TZ = tuple(f"DELETE FROM mysql.{t}" for t in ("time_zone", "time_zone_name", "time_zone_transition_type"))
CHILD = ("CREATE TABLE shop.parent (id INT PRIMARY KEY) ENGINE=InnoDB",
         "CREATE TABLE shop.child (id INT PRIMARY KEY, p INT, CONSTRAINT c FOREIGN KEY (p) REFERENCES shop.parent (id) ON DELETE {}) ENGINE=InnoDB")  # fmt: skip


@dataclass
class Case:
    id: str
    blue: tuple[str, ...] = ()
    green: tuple[str, ...] = ()
    says: str = ""
    mend_blue: tuple[str, ...] = ()
    """Where the guardrail's mend is words."""
    mend_green: tuple[str, ...] = ()
    clean: tuple[str, ...] = ()
    """On both, afterwards, errors ignored."""
    open: tuple[str, ...] = ()
    """Statements of a session of the application on blue that stays open."""
    flavours: tuple[str, ...] = ("mysql", "mariadb")
    context: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    mended_context: dict[str, Any] | None = None
    in_time: bool = False
    """It takes time until it fails."""


MYSQL = ("mysql",)
CASES = [
    Case("different_servers", green=("SET GLOBAL server_id = {blue_id}",), says="same server_id"),
    Case("binlog_format", blue=("SET GLOBAL binlog_format = STATEMENT",), says="binlog_format is STATEMENT"),
    Case("binlog_row_image", green=("SET GLOBAL binlog_row_image = MINIMAL",), says="MINIMAL"),
    Case("binlog_row_metadata", blue=("SET GLOBAL binlog_row_metadata = MINIMAL",), says="MINIMAL"),
    Case("binlog_row_value_options", blue=("SET GLOBAL binlog_row_value_options = PARTIAL_JSON",), says="PARTIAL_JSON",
         flavours=MYSQL),
    Case("privileges", green=("REVOKE REPLICATION SLAVE ON *.* FROM segue@'%'",), says="REPLICATION SLAVE"),
    Case("bypassing_accounts", blue=("GRANT {bypass} ON *.* TO app@'%'",), says="'app'@'%'",
         mend_blue=("REVOKE {bypass} ON *.* FROM app@'%'",)),
    Case("auto_increment", green=("SET GLOBAL auto_increment_increment = 2",), says="auto_increment_increment"),
    Case("default_charset", green=("SET GLOBAL character_set_server = latin1",), says="latin1"),
    Case("sql_mode", green=("SET GLOBAL sql_mode = 'ANSI_QUOTES'",), says="ANSI_QUOTES"),
    Case("time_zone", green=("SET GLOBAL time_zone = '+05:00'",), says="+05:00"),
    Case("timestamp_defaults", green=("SET GLOBAL explicit_defaults_for_timestamp = OFF",), says="'OFF'"),
    Case("max_connections", green=("SET GLOBAL max_connections = 100",), says="100"),
    Case("max_allowed_packet", green=("SET GLOBAL max_allowed_packet = 1048576",), says="1048576"),
    Case("durability", green=("SET GLOBAL sync_binlog = 0",), says="sync_binlog is 0"),
    Case("target_read_only", green=("SET GLOBAL read_only = OFF",), says="accepts writes"),
    Case("source_writable", blue=("SET GLOBAL read_only = ON",), says="refuses writes"),
    Case("same_tables", green=("CREATE TABLE shop.only_here (id INT PRIMARY KEY)",), says="only_here",
         mend_green=("DROP TABLE shop.only_here",)),
    Case("something_to_replicate", config={"schemas": ["nothing_*"]}, says="nothing_*"),
    Case("primary_key", blue=("CREATE TABLE shop.bare (a INT)",), says="shop.bare",
         mend_blue=("ALTER TABLE shop.bare ADD PRIMARY KEY (a)",), clean=("DROP TABLE shop.bare",)),
    Case("engine", blue=("CREATE TABLE shop.flat (a INT PRIMARY KEY) ENGINE=MyISAM",), says="MyISAM",
         clean=("DROP TABLE shop.flat",)),
    Case("triggers", green=("CREATE TABLE shop.t (a INT PRIMARY KEY)",
                            "CREATE TRIGGER shop.tr BEFORE INSERT ON shop.t FOR EACH ROW SET NEW.a = NEW.a"),
         says="shop.tr", mend_green=("DROP TRIGGER shop.tr",), clean=("DROP TABLE shop.t",)),
    Case("accounts", blue=("GRANT ALL ON shop.* TO app@'%'",), green=("RENAME USER app@'%' TO other@'%'",), open=("SELECT 1",),
         says="user 'app'", mend_green=("RENAME USER other@'%' TO app@'%'",)),
    Case("replication_healthy", context={"replication": {"state": "stopped", "error": "a reason", "mend": "a mend"}},
         says="a reason", mended_context={}),
    Case("prepared_xa", blue=("CREATE TABLE shop.x (a INT PRIMARY KEY)",),
         open=("XA START 'one'", "INSERT INTO shop.x VALUES (1)", "XA END 'one'", "XA PREPARE 'one'", "CLOSE"),
         says="1 prepared XA", mend_blue=("XA ROLLBACK 'one'",), clean=("DROP TABLE shop.x",)),
    Case("event_scheduler", green=("CREATE EVENT shop.e ON SCHEDULE EVERY 1 DAY DO SELECT 1", "SET GLOBAL event_scheduler = ON"),
         says="1 enabled events", clean=("DROP EVENT shop.e",)),
    Case("event_definers", blue=("CREATE EVENT shop.e ON SCHEDULE EVERY 1 DAY DO SELECT 1",), says="shop.e",
         mend_blue=("DROP EVENT shop.e",)),
    Case("sessions_past_the_proxy", open=("SELECT 1",), says="app@", mend_blue=("CLOSE",)),
    Case("pause_budget", context={"replication": {"state": "streaming", "lag_seconds": 60.0}}, says="60000 ms catching up",
         mended_context={}),
    Case("long_transactions", blue=("CREATE TABLE shop.l (a INT PRIMARY KEY)",), open=("BEGIN", "INSERT INTO shop.l VALUES (1)"),
         config={"drain_timeout": 0.5}, in_time=True, says="open transaction", clean=("DROP TABLE shop.l",)),
    Case("table_locks", blue=("CREATE TABLE shop.k (a INT PRIMARY KEY)",), open=("LOCK TABLES shop.k WRITE",),
         flavours=MYSQL, says="shop.k", clean=("DROP TABLE shop.k",)),
    Case("replicates_elsewhere", green=("{change}", "{start}"), says="replicates from 127.0.0.1:1", clean=("{reset}",)),
    Case("binlog_retention", green=("SET GLOBAL binlog_expire_logs_seconds = 60",), says="60 s",
         clean=("SET GLOBAL binlog_expire_logs_seconds = 600",)),
    Case("time_zone_tables", blue=TZ, says="no time zone tables", mend_green=TZ, clean=NO_TZ),
    Case("foreign_keys", blue=(CHILD[0], CHILD[1].format("CASCADE")), green=(CHILD[0], CHILD[1].format("SET NULL")),
         says="on delete CASCADE", mend_green=("DROP TABLE shop.child", CHILD[1].format("CASCADE")),
         clean=("DROP TABLE shop.child", "DROP TABLE shop.parent")),
]  # fmt: skip
ELSEWHERE = {
    "log_bin": "test_bad_input.py", "standby_follows": "test_ways_back.py", "rogue_writers": "below",
    "journal_room": "below", "server_version": "below", "pinned_sessions": "test_sessions.py", "seeded": "test_seed.py",
    "lower_case_table_names": "fixed when a server is initialised, so a running one cannot be made to fail and mended",
}  # fmt: skip
WORDS = {
    "mysql": {"bypass": "CONNECTION_ADMIN", "start": "START REPLICA", "reset": "RESET REPLICA ALL",
              "change": "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=1, SOURCE_USER='x'"},
    "mariadb": {"bypass": "READ_ONLY ADMIN", "start": "START SLAVE", "reset": "RESET SLAVE ALL",
                "change": "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=1, MASTER_USER='x'"},
}  # fmt: skip


class Bench:
    """Two servers and their context, without a daemon."""

    def __init__(self, flavour: str, blue: LabServer, green: LabServer, folder: Path) -> None:
        self.servers = {"blue": blue, "green": green}
        self.deployment = Deployment(folder / "d", blue, green)
        self.config = load(self.deployment.config)
        self.words = WORDS[flavour] | {"blue_id": str(blue.sql("SELECT @@server_id")[0][0])}
        green.sql("SET GLOBAL read_only = ON")

    def sql(self, label: str, statements: tuple[str, ...]) -> None:
        for statement in statements:
            for key, value in self.words.items():
                statement = statement.replace(f"{{{key}}}", value)  # noqa: PLW2901 - filled in
            if statement != "CLOSE":
                self.servers[label].sql(statement)

    def find(self, case: Case, context: dict[str, Any] | None = None) -> list[guardrails.Finding]:
        """What the one guardrail finds now."""
        proxy = self.config.proxy.model_copy(update={k: v for k, v in case.config.items() if k == "drain_timeout"})
        replicate = self.config.replicate.model_copy(update={k: v for k, v in case.config.items() if k == "schemas"})
        config = self.config.model_copy(update={"proxy": proxy, "replicate": replicate})
        (guardrail,) = [g for g in guardrails.every() if g.id == case.id]

        async def run() -> list[guardrails.Finding]:
            roles = Roles.of(config, "blue")
            source, target = Server(roles.active), Server(roles.standby)
            try:
                more = {"replication": STREAMING, "sessions": []} | (context or {})
                return await guardrails.run(guardrails.Context(config, source, target, **more), [guardrail])
            finally:
                await source.close()
                await target.close()

        return asyncio.run(run())


@pytest.fixture
def bench(pairs: Callable[[str], tuple[LabServer, LabServer]], flavour: str, tmp_path: Path) -> Iterator[Bench]:
    blue, green = pairs(flavour)
    yield Bench(flavour, blue, green, tmp_path)
    green.sql("SET GLOBAL read_only = OFF")


def test_all_are_tried() -> None:
    assert {c.id for c in CASES} | set(ELSEWHERE) == {g.id for g in guardrails.every()}


def test_each_fails_and_is_mended(bench: Bench, flavour: str) -> None:
    trouble = [f"{c.id}: {error}" for c in CASES if flavour in c.flavours if (error := attempt(bench, c))]
    assert not trouble


def attempt(bench: Bench, case: Case) -> str:
    """What went wrong with one case; empty when it failed, said why, and was mended."""
    session = None
    try:
        bench.sql("blue", case.blue)
        bench.sql("green", case.green)
        if case.open:
            session = pymysql.connect(host="127.0.0.1", port=bench.servers["blue"].port, user="app", password=APP_PASSWORD)
            for statement in case.open:
                if statement == "CLOSE":
                    session.close()
                else:
                    session.cursor().execute(statement)
        deadline = time.monotonic() + (60.0 if case.in_time else 0.0)
        while not (found := bench.find(case, case.context)) and time.monotonic() < deadline:
            time.sleep(0.1)
        if not found or not any(case.says in f.sentence for f in found):
            return f"not found, or said otherwise: {found}"
        printed = [f for f in found if f.statement]
        for finding in printed:
            bench.sql(finding.side, tuple(finding.statement.rstrip(";").split("; ")))
        if case.mend_blue == ("CLOSE",) and session is not None:
            session.close()
        bench.sql("blue", case.mend_blue)
        bench.sql("green", case.mend_green)
        if case.config.get("schemas"):
            return ""  # a pattern of the configuration
        deadline = time.monotonic() + 60.0
        while left := bench.find(case, case.mended_context if case.mended_context is not None else case.context):
            if time.monotonic() > deadline:
                return f"not mended: {left}"
            time.sleep(0.1)
        return ""
    except pymysql.err.MySQLError as error:
        return f"a statement was refused: {error}"
    finally:
        if session is not None and session.open:
            session.close()
        for label in bench.servers:
            for statement in case.clean:
                try:
                    bench.sql(label, (statement,))
                except pymysql.err.MySQLError:
                    continue


def test_server_version(bench: Bench) -> None:
    """Both lab servers are of one version: the older one is made up."""
    from segue.switchover.guardrails import server_version

    class Older:
        side = type("Side", (), {"where": "green"})

        def __init__(self, version: tuple[int, ...]) -> None:
            self.answer = type("F", (), {"name": "x", "label": "X", "version": version, "version_text": str(version)}), None

        async def get(self) -> Any:
            return self.answer

    async def find(source: tuple[int, ...], target: tuple[int, ...]) -> int:
        context = guardrails.Context(bench.config, Older(source), Older(target))  # type: ignore[arg-type]
        return len(await server_version._check(context))

    assert asyncio.run(find((9, 7), (8, 4))) == 1
    assert asyncio.run(find((8, 4), (9, 7))) == 0
    assert asyncio.run(find((9, 7, 1), (9, 7, 0))) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system can only be mounted by root")
def test_journal_room(bench: Bench) -> None:
    folder = bench.config.deployment.state_dir
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "segue-test", str(folder)], check=True)
    try:
        journal = Journal(folder, "lab")
        (folder / "filler").write_bytes(b"x" * 1_300_000)
        case = Case("journal_room")
        (found,) = bench.find(case, {"way_back": WayBack(journal)})
        assert "kB of room left" in found.sentence
        (folder / "filler").unlink()
        assert bench.find(case, {"way_back": WayBack(journal)}) == []
        journal.close()
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_writer_on_the_standby_blocks_and_is_named(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour)
    d = shop.deployment
    load = shop.load(clients=3, pause=0.005)
    try:
        d.wait_for(lambda s: s["replication"]["rows"] > 30)
        assert d.segue("switchover", "--dry-run")[1]["outcome"] == "possible"  # our own work is no stranger's
        shop.green.sql("UPDATE shop.accounts SET balance = balance WHERE id = 1")  # changes nothing: no row event
        shop.green.sql("INSERT INTO shop.entries (id, client, seq, note) VALUES (900000, 99, 1, 'fixed by hand')")
        where = shop.green.sql("SELECT @@GLOBAL.gtid_executed" if flavour == "mysql" else "SELECT @@GLOBAL.gtid_binlog_pos")
        code, answer = d.segue("switchover", check=False)
        assert code == 1
        assert "[rogue_writers] 1 transactions" in answer["error"]
        assert "on shop.entries" in answer["error"]
        assert where
        shop.green.sql("DELETE FROM shop.entries WHERE client = 99")
        _, report = d.segue("switchover", "--allow", "rogue_writers")
        assert report["outcome"] == "done"
        d.wait_for(lambda s: s["replication"]["state"] == "streaming")
        assert d.segue("rollback")[1]["outcome"] == "done"  # what clients wrote to green is no stranger's either
        load.stop()
    finally:
        load.kill()
