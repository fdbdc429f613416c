"""Live moves of connections that are not plain: TLS on either hop, compression, several workers, packets over 16 MB."""

from __future__ import annotations

import hashlib
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pymysql
import pytest
from tests.amount import flavours
from tests.integration.test_sessions import checking, connect, one

import checker
from lab import tool
from lab.deployment import APP_PASSWORD

pytestmark = pytest.mark.servers
TLS = {"ssl": {"check_hostname": False}}
PLAIN = {"ssl_disabled": True}
"""PyMySQL takes TLS where it is offered, unless told not to."""
BIG = 17 << 20
LINES = {
    "mysql": [("mysql", "--compression-algorithms=zlib", "--ssl-mode=disabled", "--get-server-public-key"),
              ("mysql", "--compression-algorithms=zstd", "--ssl-mode=disabled", "--get-server-public-key"),
              ("mysql", "--compression-algorithms=zstd", "--ssl-mode=required")],
    "mariadb": [("mariadb", "--compress", "--skip-ssl"), ("mariadb", "--compress", "--ssl")],
}  # fmt: skip


class CommandLine:
    """A command-line client that stays; each statement of one row gives one line."""

    def __init__(self, port: int, name: str, *options: str) -> None:
        found = tool(name)
        self._process = subprocess.Popen(
            [*found.argv, *options, "-h127.0.0.1", f"-P{port}", "-uapp", "-N", "-B", "-n", "-q", "--max-allowed-packet=64M", "shop"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=found.environment() | {"MYSQL_PWD": APP_PASSWORD},
        )  # fmt: skip

    def ask(self, sql: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(sql + ";\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().rstrip("\n")

    def close(self) -> None:
        out, _ = self._process.communicate(timeout=60)
        assert (self._process.returncode, out) == (0, "")


def switch(shop: Any) -> dict[str, Any]:
    shop.deployment.wait_for(lambda s: s["replication"]["state"] == "streaming", 60)
    report = shop.deployment.segue("switchover", "--timeout", "60")[1]
    assert (report["outcome"], report["dropped"], report["lost"]) == ("done", 0, [])
    return dict(report)


def cipher(conn: Any) -> str:
    with conn.cursor() as cursor:
        cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        return str(cursor.fetchone()[1])


@pytest.mark.timeout(300)
@pytest.mark.slow
@pytest.mark.parametrize("flavour", flavours("mysql"))
def test_compressed_and_sealed_clients_move(make_shop: Callable[..., Any], flavour: str) -> None:
    """With two workers, so that both kinds meet in each."""
    shop = make_shop(flavour, workers=2)
    for side in (shop.blue, shop.green):
        checker.create(side)
        side.sql(f"SET GLOBAL max_allowed_packet = {64 << 20}")
    big = "compressible " * (BIG // 13)
    wanted = hashlib.sha256(big.encode()).hexdigest()
    lines = [CommandLine(shop.deployment.port, *line) for line in LINES[flavour]]
    for number, line in enumerate(lines):
        assert line.ask(f"SET @me = {number}; PREPARE p FROM 'SELECT CONCAT(?, @me)'; SELECT @me") == str(number)
    with checking(shop.deployment.port, 2 * len(checker.KINDS), tls=len(checker.KINDS)) as end:
        for active in (shop.green, shop.blue):
            for line in lines:
                assert line.ask(f"SELECT SHA2('{big}', 256)") == wanted
            assert switch(shop)["relocated"] >= 2 * len(checker.KINDS) + len(lines)
            for number, line in enumerate(lines):
                assert line.ask(f"SELECT SHA2('{big}', 256)") == wanted, "the first statement on the new side"
                assert line.ask("SET @x = 'it is '; EXECUTE p USING @x") == f"it is {number}"
                assert line.ask("SELECT @@port") == str(active.port)
                assert line.ask("SELECT REPEAT('ab', 1000000)") == "ab" * 1_000_000
        told = end()
    for line in lines:
        line.close()
    assert (told["errors"], told["wrong"], told["dropped"]) == ([], [], 0)
    assert all(c["rounds"] > 0 for c in told["clients"])


def test_large_packets_on_both_edges_of_the_pause(make_shop: Callable[..., Any], flavour: str) -> None:
    """Statements and replies over 16 MB one after another: some are under way at the hold, the next wait for its end."""
    shop = make_shop(flavour, drain_timeout=60.0, max_pause=120.0)
    for side in (shop.blue, shop.green):
        side.sql(f"SET GLOBAL max_allowed_packet = {64 << 20}")
    stop = threading.Event()
    ports: list[list[str]] = [[] for _ in range(4)]
    errors: list[str] = []

    def work(number: int) -> None:
        conn = connect(shop, max_allowed_packet=64 << 20, **(TLS if number % 2 else PLAIN))
        text = f"{number}" * BIG
        digest = hashlib.sha256(text.encode()).hexdigest()
        try:
            while not stop.is_set() or len(set(ports[number])) < 2:
                if number < 2:
                    got, port = one(conn, f"SELECT CONCAT(SHA2('{text}', 256), ' ', @@port)").split()
                    right = got == digest
                else:
                    port, _, rest = one(conn, f"SELECT CONCAT(@@port, ' ', REPEAT('{number}', {BIG}))").partition(" ")
                    right = rest == text
                ports[number].append(port)
                if not right:
                    errors.append(f"client {number}: a wrong answer of {port}")
        except pymysql.err.MySQLError as error:
            errors.append(f"client {number}: {error}")

    crew = [threading.Thread(target=work, args=(n,)) for n in range(len(ports))]
    for one_of_them in crew:
        one_of_them.start()
    try:
        shop.deployment.wait_for(lambda _: all(ports) or errors, 60)
        switch(shop)
    finally:
        stop.set()
        for one_of_them in crew:
            one_of_them.join(120)
    assert errors == []
    assert all(set(seen) == {str(shop.blue.port), str(shop.green.port)} for seen in ports)


@pytest.mark.parametrize("sealed", [False, True])
def test_tls_to_the_servers_and_kill_across_workers(make_shop: Callable[..., Any], sealed: bool) -> None:
    """The id in the greeting means the session wherever it is: on another worker, on the other side, behind TLS."""
    shop = make_shop("mysql", workers=2, start=False)
    config = shop.deployment.config
    if sealed:
        config.write_text(config.read_text().replace('user = "segue"\n', 'user = "segue"\ntls = "required"\n'))
    shop.deployment.start()
    conns: dict[int, Any] = {}
    while len(conns) < 2:  # the kernel spreads connections over the workers
        conn = connect(shop, **PLAIN)
        conns.setdefault((conn.thread_id() >> 24) & 0x3F, conn)
    tls = connect(shop, **TLS)
    everybody = [*conns.values(), tls]
    for active in (shop.green, shop.blue):
        assert [bool(cipher(c)) for c in everybody] == [sealed, sealed, True]
        switch(shop)
        assert [one(c, "SELECT @@port") for c in everybody] == [active.port] * 3
        assert [bool(cipher(c)) for c in everybody] == [sealed, sealed, True], "as before the move"
        for victim, killer in (everybody[:2], everybody[1::-1], (tls, everybody[0])):
            interrupted(shop, active, victim, killer)


def interrupted(shop: Any, active: Any, victim: Any, killer: Any) -> None:
    """A statement of `victim` is ended by `killer`, who knows its id from the greeting; both go on."""
    answers: list[Any] = []

    def sleep() -> None:
        try:
            answers.append(one(victim, "SELECT SLEEP(100)"))
        except pymysql.err.OperationalError as error:
            answers.append(error.args[0])

    thread = threading.Thread(target=sleep)
    thread.start()
    shop.deployment.wait_for(
        lambda _: active.sql("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%'")[0][0], 60)  # fmt: skip
    one(killer, f"KILL QUERY {victim.thread_id()}")
    thread.join(60)
    assert answers[0] in (1, 1317)
    assert one(victim, "SELECT 1") == one(killer, "SELECT 1") == 1
