"""Live sessions through switchovers: none dropped, none wrong, pinned ones named; by clients that check themselves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest
from tests.integration.proxyrig import ProxyRig

import checker
from lab import tool
from lab.accounts import create_accounts
from lab.deployment import APP_PASSWORD, SEGUE_PASSWORD
from segue.config import Endpoint
from segue.control.logins import SecondPasswords
from segue.roles import Side
from segue.switchover.server import Server

pytestmark = pytest.mark.servers
ROOT = Path(__file__).resolve().parents[2]
SWITCHOVERS = 3
SESSIONS = 8


@contextmanager
def checking(port: int, clients: int, idle: int = 0, tls: int = 0) -> Iterator[Callable[[], dict[str, Any]]]:
    """Checking clients in a process of their own; what they were told."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts/checker.py"), "--port", str(port), "--password", APP_PASSWORD,
         "--clients", str(clients), "--idle", str(idle), "--tls", str(tls)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"

    def end() -> dict[str, Any]:
        out, _ = process.communicate(timeout=60)
        return dict(json.loads(out))

    try:
        yield end
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.timeout(240)
def test_every_kind_of_session_moves_and_notices_nothing(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour)
    for server in (shop.blue, shop.green):
        checker.create(server)
    with checking(shop.deployment.port, 2 * len(checker.KINDS), idle=20) as end:
        for _ in range(SWITCHOVERS):
            shop.deployment.wait_for(lambda s: s["replication"]["state"] == "streaming")
            report = shop.deployment.segue("switchover", "--timeout", "60")[1]
            assert report["outcome"] == "done"
            assert (report["dropped"], report["lost"]) == (0, [])
            assert report["relocated"] >= 20
            time.sleep(0.5)  # work on the new side before the next
        told = end()
    assert (told["errors"], told["wrong"], told["dropped"], told["idle_wrong"]) == ([], [], 0, 0)
    assert all(c["rounds"] > 0 for c in told["clients"])


def connect(shop: Any, **more: Any) -> Any:
    settings = {"host": "127.0.0.1", "port": shop.deployment.port, "user": "app", "password": APP_PASSWORD, "database": "shop"}
    return pymysql.connect(**settings | {"autocommit": True} | more)


def one(conn: Any, sql: str) -> Any:
    with conn.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
        return row[0] if row else None


PINS = {
    "CREATE TEMPORARY TABLE scratch (a INT)": ("temporary table scratch", "DROP TABLE scratch"),
    "LOCK TABLES accounts READ": ("LOCK TABLES", "UNLOCK TABLES"),
    "HANDLER accounts OPEN": ("HANDLER on accounts", "HANDLER accounts CLOSE"),
}


def test_pinned_sessions_abort_by_name_and_move_once_they_are_free(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour, drain_timeout=0.5)
    conns = {}
    for statement in PINS:
        conns[statement] = connect(shop)
        one(conns[statement], statement)
    # The guardrail against table locks would speak before the sessions are looked at.
    code, answer = shop.deployment.segue("switchover", "--allow", "table_locks", check=False)
    assert code == 1
    for reason, _ in PINS.values():
        assert reason in answer["error"]
    for statement, (_, free) in PINS.items():
        one(conns[statement], free)
    report = shop.deployment.segue("switchover")[1]
    assert (report["outcome"], report["dropped"], report["relocated"]) == ("done", 0, len(PINS))
    for conn in conns.values():
        assert one(conn, "SELECT @@port") == shop.green.port
        conn.close()


def test_pinned_sessions_are_closed_alone_where_the_policy_says_so(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour, drain_timeout=0.5, proxy='pinned = "close"')
    pinned, free = connect(shop), connect(shop)
    one(pinned, "CREATE TEMPORARY TABLE scratch (a INT)")
    one(free, "SET @a = 5")
    report = shop.deployment.segue("switchover")[1]
    assert (report["outcome"], report["dropped"], report["relocated"]) == ("done", 1, 1)
    assert "temporary table scratch" in report["lost"][0]["reason"]
    assert one(free, "SELECT @a") == 5
    with pytest.raises(pymysql.err.OperationalError) as refused:
        one(pinned, "SELECT 1")
    assert refused.value.args[0] in (1053, 2013, 2006)


def test_kill_by_the_id_that_the_client_knows(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour)
    victim, killer = connect(shop), connect(shop)
    shop.deployment.segue("switchover")
    assert one(victim, "SELECT CONNECTION_ID()") != victim.thread_id()
    failed: list[int] = []

    def sleep() -> None:
        try:
            failed.append(int(one(victim, "SELECT SLEEP(20)")))
        except pymysql.err.OperationalError as error:
            failed.append(error.args[0])

    thread = threading.Thread(target=sleep)
    began = time.monotonic()
    thread.start()
    while time.monotonic() < began + 10:
        if shop.green.sql("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%'")[0][0]:
            break
    one(killer, f"KILL QUERY {victim.thread_id()}")
    thread.join(15)
    assert failed[0] in (1, 1317)
    assert time.monotonic() < began + 18
    assert one(victim, "SELECT 1") == 1


def test_a_client_that_logs_in_during_the_pause_lands_on_the_new_side(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour)
    stop = threading.Event()
    seen: list[Any] = []

    def keep_connecting() -> None:
        while not stop.is_set():
            conn = connect(shop, init_command="SET @here = 1")
            seen.append((one(conn, "SELECT @@port"), one(conn, "SELECT @here")))
            conn.close()

    threads = [threading.Thread(target=keep_connecting) for _ in range(4)]
    for thread in threads:
        thread.start()
    report = shop.deployment.segue("switchover")[1]
    stop.set()
    for thread in threads:
        thread.join(20)
    assert report["dropped"] == 0
    assert {here for _, here in seen} == {1}
    conn = connect(shop)
    assert one(conn, "SELECT @@port") == shop.green.port


RESETS = """
import MySQLdb, sys
from MySQLdb.constants import CLIENT
c = MySQLdb.connect(host='127.0.0.1', port=int(sys.argv[1]), user='app', passwd=sys.argv[2], db='shop')
k = c.cursor()
k.execute("SET @a = 5, SESSION wait_timeout = 4321")
print('ready', flush=True)
sys.stdin.readline()
k.execute('SELECT @a, @@wait_timeout, @@port')
print(*k.fetchone(), flush=True)
c.change_user('app', sys.argv[2], 'shop')
k = c.cursor()
k.execute("SET SESSION wait_timeout = 1234")
k.execute('SELECT @a, DATABASE()')
print(*k.fetchone(), flush=True)
sys.stdin.readline()
k.execute('SELECT @@wait_timeout, DATABASE(), @@port')
print(*k.fetchone(), flush=True)
"""


def test_change_user_on_a_moved_session(make_shop: Callable[..., Any], flavour: str) -> None:
    """The client answers with the first server's nonce, which the second never gave."""
    shop = make_shop(flavour)
    found = tool("python-mysqldb")
    process = subprocess.Popen(
        [*found.argv, "-c", RESETS, str(shop.deployment.port), APP_PASSWORD], text=True, env=found.environment(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    shop.deployment.segue("switchover")
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline().split() == ["5", "4321", str(shop.green.port)]
    assert process.stdout.readline().split() == ["None", "shop"]
    shop.deployment.wait_for(lambda s: s["replication"]["state"] == "streaming")
    assert shop.deployment.segue("switchover")[1]["dropped"] == 0
    out, _ = process.communicate("\n", timeout=30)
    assert out.split() == ["1234", "shop", str(shop.blue.port)]


def account(server: Any, user: str) -> Any:
    """The account's whole row."""
    table = "mysql.user" if server.flavour == "mysql" else "mysql.global_priv"
    return server.sql(f"SELECT * FROM {table} WHERE User = '{user}'")


def stranger(shop: Any, flavour: str) -> Any:
    """A client whose login teaches the proxy nothing: its hash is cached by the server, or in a row that is not read."""
    for server in (shop.blue, shop.green):
        with server.connect() as conn, conn.cursor() as cursor:
            cursor.execute("SET sql_log_bin = 0")
            cursor.execute("DROP USER IF EXISTS stranger@'%'")
            how = "BY 'unknown'" if flavour == "mysql" else "VIA unix_socket OR mysql_native_password USING PASSWORD('unknown')"
            cursor.execute(f"CREATE USER stranger@'%' IDENTIFIED {how}")
            cursor.execute("GRANT SELECT ON shop.* TO stranger@'%'")
    pymysql.connect(host="127.0.0.1", port=shop.blue.port, user="stranger", password="unknown").close()
    return stranger_again(shop)


def stranger_again(shop: Any) -> Any:
    conn = pymysql.connect(host="127.0.0.1", port=shop.deployment.port, user="stranger", password="unknown",
                           database="shop", defer_connect=True)  # fmt: skip
    conn._connect_attrs["_client_name"] = "another"
    conn.connect()
    return conn


def test_a_login_that_nobody_knows_moves_by_a_second_password(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour)
    conn = stranger(shop, flavour)
    one(conn, "SET @a = 7")
    before = account(shop.green, "stranger")
    report = shop.deployment.segue("switchover")[1]
    assert (report["dropped"], report["relocated"]) == (0, 1)
    assert (one(conn, "SELECT @a"), one(conn, "SELECT @@port")) == (7, shop.green.port)
    left = shop.deployment.folder / "state" / "second-passwords.json"
    deadline = time.monotonic() + 10
    while left.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left.exists()
    assert account(shop.green, "stranger") == before
    conn.close()


async def test_second_passwords_are_put_back_after_a_crash(make_shop: Callable[..., Any], flavour: str, tmp_path: Path) -> None:
    shop = make_shop(flavour, start=False)
    for server in (shop.blue, shop.green):
        with server.connect() as conn, conn.cursor() as cursor:
            cursor.execute("SET sql_log_bin = 0")
            cursor.execute("DROP USER IF EXISTS stranger@'%'")
            cursor.execute("CREATE USER stranger@'%' IDENTIFIED BY 'unknown'")
    before = account(shop.green, "stranger")
    side = Side("green", Endpoint(host="127.0.0.1", port=shop.green.port, user="segue", password=SEGUE_PASSWORD))
    server = Server(side)
    try:
        given = await SecondPasswords(tmp_path).give(server, ["stranger"])
        saved = tmp_path / "second-passwords.json"
        assert stat.S_IMODE(saved.stat().st_mode) == 0o600
        assert given["stranger"] not in saved.read_text()
        assert account(shop.green, "stranger") != before
        for password in (given["stranger"], "unknown"):
            pymysql.connect(host="127.0.0.1", port=shop.green.port, user="stranger", password=password).close()
        await SecondPasswords(tmp_path).restore([server])  # as the next start does
        assert account(shop.green, "stranger") == before
        assert not saved.exists()
        with pytest.raises(pymysql.err.OperationalError):
            pymysql.connect(host="127.0.0.1", port=shop.green.port, user="stranger", password=given["stranger"])
    finally:
        await server.close()


@pytest.mark.timeout(240)
async def test_a_release_that_is_asked_for_twice_moves_everybody_once(
    pairs: Callable[[str], tuple[Any, Any]], tmp_path: Path
) -> None:
    """Control asks again when a busy worker has not answered in time; the second order must not undo the first."""
    blue, green = pairs("mariadb")
    for server in (blue, green):
        create_accounts(server, segue_password=SEGUE_PASSWORD, app_password=APP_PASSWORD, schemas=("shop",))
    rig = await ProxyRig(tmp_path).start(blue)
    settings = {"host": "127.0.0.1", "port": rig.port, "user": "app", "password": APP_PASSWORD, "database": "shop"}
    try:
        conns = await asyncio.gather(*(asyncio.to_thread(pymysql.connect, **settings) for _ in range(SESSIONS)))
        for number, conn in enumerate(conns):
            await asyncio.to_thread(one, conn, f"SET @a = {number}")
        target = rig.side(green, "green")
        prepared = await rig.ask("prepare", target=target, users={"app": APP_PASSWORD})
        assert (prepared["prepared"], prepared["failed"]) == (SESSIONS, [])
        assert (await rig.ask("hold", timeout=30))["held"] == SESSIONS
        assert (await rig.ask("adopt", timeout=30))["unmovable"] == []
        (lost, *_), *_ = green.sql("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'app'")
        green.sql(f"KILL {lost}")  # its session follows behind the others, for as long as the target does not answer
        asked = [asyncio.create_task(asyncio.to_thread(one, c, "SELECT CONCAT(@@port, ' ', @a)")) for c in conns]
        os.kill(green.pid, signal.SIGSTOP)
        try:
            orders = [asyncio.create_task(rig.ask("release", active=target)) for _ in range(2)]
            await asyncio.wait(orders, timeout=1.0)
        finally:
            os.kill(green.pid, signal.SIGCONT)
        answers = await asyncio.gather(*orders)
        assert sum(a["relocated"] for a in answers) == SESSIONS
        assert sum(a["dropped"] for a in answers) == 0
        assert await asyncio.gather(*asked) == [f"{green.port} {n}" for n in range(SESSIONS)]
        for conn in conns:
            conn.close()
    finally:
        await rig.stop()


HOOK = """#!/bin/sh
touch {folder}/prepared
for _ in $(seq 600); do test -e {folder}/connected && exit 0; sleep 0.1; done
exit 1
"""


def test_a_stranger_that_comes_when_all_is_prepared_moves_too(make_shop: Callable[..., Any], flavour: str) -> None:
    """As short connections do: none is there when the second passwords are given, one is when clients are held."""
    shop = make_shop(flavour, start=False)
    folder = shop.deployment.folder
    hook = folder / "hook"
    hook.write_text(HOOK.format(folder=folder))
    hook.chmod(0o755)
    shop.deployment.config.write_text(shop.deployment.config.read_text() + f'[hooks]\nbefore_pause = "{hook}"\ntimeout = 60.0\n')
    shop.deployment.start()
    stranger(shop, flavour).close()
    reports: list[Any] = []
    switch = threading.Thread(target=lambda: reports.append(shop.deployment.segue("switchover", "--timeout", "60", check=False)))
    switch.start()
    shop.deployment.wait_for(lambda _: (folder / "prepared").exists() or reports)
    conn = stranger_again(shop)
    (folder / "connected").touch()
    switch.join(120)
    code, report = reports[0]
    assert (code, report.get("error")) == (0, None)
    assert (report["dropped"], report["relocated"]) == (0, 1)
    assert one(conn, "SELECT @@port") == shop.green.port
    conn.close()
