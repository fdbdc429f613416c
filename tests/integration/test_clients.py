"""Real client programs and drivers through the proxy, before and after a switchover."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import asyncmy
import pymysql
import pytest
from tests.amount import WHOLE
from tests.conftest import FLAVOURS

from lab import tool
from lab.deployment import APP_PASSWORD
from lab.fetch import sysbench_script

pytestmark = pytest.mark.servers


def run(name: str, *args: str, text: str = "", env: dict[str, str] | None = None) -> str:
    found = tool(name)
    done = subprocess.run(
        [*found.argv, *args], input=text, text=True, capture_output=True, timeout=90, check=False,
        env=found.environment() | (env or {}),
    )  # fmt: skip
    assert done.returncode == 0, f"{name}: {done.stderr[-1500:]} {done.stdout[-500:]}"
    return done.stdout


@pytest.fixture
def shop(make_shop: Callable[..., Any], flavour: str) -> Any:
    return make_shop(flavour)


SQL = "SELECT COUNT(*), SUM(balance) FROM accounts; BEGIN; INSERT INTO entries (client, seq) VALUES (1, 1); COMMIT;"
MYSQLDB = """
import MySQLdb, sys
c = MySQLdb.connect(host='127.0.0.1', port=int(sys.argv[1]), user='app', passwd=sys.argv[2], db='shop')
k = c.cursor()
k.execute('SELECT COUNT(*) FROM accounts')
assert k.fetchone()[0] == 200
k.executemany('INSERT INTO entries (client, seq, note) VALUES (%s, %s, %s)', [(5, n, 'x' * n) for n in range(1, 50)])
c.commit()
c.change_user('app', sys.argv[2], 'shop')
k = c.cursor()
k.execute('SELECT COUNT(*) FROM entries WHERE client = 5')
print(k.fetchone()[0])
"""
PHP = """<?php
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
$c = new mysqli('127.0.0.1', 'app', $argv[2], 'shop', (int)$argv[1]);
$s = $c->prepare('INSERT INTO entries (client, seq, note) VALUES (?, ?, ?)');
for ($n = 1; $n <= 20; $n++) { $client = 6; $note = str_repeat('ä', $n); $s->bind_param('iis', $client, $n, $note); $s->execute(); }
$c->multi_query('SELECT 1; SELECT COUNT(*) FROM entries WHERE client = 6');
do { $r = $c->store_result(); if ($r) $last = $r->fetch_row()[0]; } while ($c->more_results() && $c->next_result());
echo $last;
"""


def test_command_line_clients(shop: Any, flavour: str) -> None:
    # MySQL's client of 9.x has no mysql_native_password any more, so it cannot log in to this MariaDB directly either.
    programs = ("mysql", "mariadb") if flavour == "mysql" else ("mariadb",)
    base = ["-h127.0.0.1", f"-P{shop.deployment.port}", "-uapp", f"-p{APP_PASSWORD}", "shop", "-N", "-B"]
    for number, name in enumerate(programs, 1):
        assert run(name, *base, "-e", SQL).split() == ["200", "200000"]
        assert shop.blue.sql("SELECT COUNT(*) FROM shop.entries")[0][0] == number
    shop.deployment.segue("switchover")
    for name in programs:
        assert run(name, *base, "-e", SQL).split() == ["200", "200000"]
    assert shop.green.sql("SELECT COUNT(*) FROM shop.entries")[0][0] == 2 * len(programs)
    shop.assert_equal()


def test_mysqlclient_and_php(shop: Any, tmp_path: Any) -> None:
    port = str(shop.deployment.port)
    assert run("python-mysqldb", "-c", MYSQLDB, port, APP_PASSWORD).strip() == "49"
    script = tmp_path / "client.php"
    script.write_text(PHP)
    assert run("php", "-f", str(script), "--", port, APP_PASSWORD).strip() == "20"
    shop.assert_equal()


def test_sysbench(shop: Any) -> None:
    args = ["--db-driver=mysql", "--mysql-host=127.0.0.1", f"--mysql-port={shop.deployment.port}", "--mysql-user=app",
            f"--mysql-password={APP_PASSWORD}", "--mysql-db=shop", "--tables=2", "--table-size=500", "--threads=4",
            "--events=200", "--time=0", "--mysql-ssl=off"]  # fmt: skip
    pymysql.connect(host="127.0.0.1", port=shop.deployment.port, user="app", password=APP_PASSWORD).close()
    run("sysbench", *args, sysbench_script("oltp_read_write"), "prepare")
    for script in ("oltp_read_write", "oltp_point_select", "oltp_read_only"):
        assert "total number of events:              200" in run("sysbench", *args, sysbench_script(script), "run")


def test_pymysql_protocol_corners(shop: Any, tmp_path: Any) -> None:
    conn = pymysql.connect(
        host="127.0.0.1", port=shop.deployment.port, user="app", password=APP_PASSWORD, database="shop",
        autocommit=True, local_infile=True, client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS,
        max_allowed_packet=256 << 20,
    )  # fmt: skip
    with conn.cursor() as cursor:
        cursor.execute("SELECT 1; SELECT 2; SELECT 3")
        seen = [cursor.fetchall()]
        while cursor.nextset():
            seen.append(cursor.fetchall())
        assert seen == [((1,),), ((2,),), ((3,),)]
        rows = tmp_path / "rows.csv"
        rows.write_text("".join(f"9,{n},line {n}\n" for n in range(20000)))
        cursor.execute(
            f"LOAD DATA LOCAL INFILE '{rows}' INTO TABLE entries FIELDS TERMINATED BY ',' (client, seq, note)"
        )
        cursor.execute("SELECT COUNT(*) FROM entries WHERE client = 9")
        assert cursor.fetchone()[0] == 20000
        for side in (shop.blue, shop.green):
            side.sql(f"SET GLOBAL max_allowed_packet = {256 << 20}")
    conn.close()
    conn = pymysql.connect(
        host="127.0.0.1", port=shop.deployment.port, user="app", password=APP_PASSWORD, database="shop",
        autocommit=True, max_allowed_packet=256 << 20,
    )  # fmt: skip
    with conn.cursor() as cursor:
        for size in (0xFFFFFF - 20, 0xFFFFFF, 0xFFFFFF + 1, 20 << 20, 2 * 0xFFFFFF):
            cursor.execute("SELECT LENGTH(%s), %s", ("x" * size, "y" * size))
            length, text = cursor.fetchone()
            assert (length, len(text)) == (size, size)
        with pytest.raises(pymysql.err.ProgrammingError):
            cursor.execute("SELECT * FROM no_such_table")
        cursor.execute("SELECT 5")
        assert cursor.fetchone() == (5,)
    conn.close()
    with pytest.raises(pymysql.err.OperationalError) as refused:
        pymysql.connect(host="127.0.0.1", port=shop.deployment.port, user="app", password="wrong")
    assert refused.value.args[0] == 1045


async def test_asyncmy_prepared_and_change_user(shop: Any) -> None:
    conn = await asyncmy.connect(
        host="127.0.0.1", port=shop.deployment.port, user="app", password=APP_PASSWORD, database="shop", autocommit=True
    )
    statement = await conn.prepare("SELECT balance FROM accounts WHERE id = ?")
    for number in range(50):
        await statement.execute((number,))
    conn.close()


@pytest.mark.slow
@pytest.mark.parametrize("flavour", FLAVOURS if WHOLE else FLAVOURS[:1])
def test_many_idle_clients_and_abrupt_ends(shop: Any) -> None:
    """They are let in, switched over, and some die without a goodbye."""
    many = 1000 if WHOLE else 250
    code = (
        "import pymysql, os, sys\n"
        "import concurrent.futures as f\n"
        "one = lambda _: pymysql.connect(host='127.0.0.1', port=int(sys.argv[1]), user='app', password=sys.argv[2])\n"
        "conns = list(f.ThreadPoolExecutor(8).map(one, range(int(sys.argv[3]))))\n"
        "print('up', flush=True)\n"
        "sys.stdin.readline()\n"
        "os._exit(0)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(shop.deployment.port), APP_PASSWORD, str(many)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "up"
    status = shop.deployment.segue("status")[1]
    assert status["proxy"]["clients"] == many
    report = shop.deployment.segue("switchover")[1]
    assert report["outcome"] == "done"
    assert report["relocated"] == many
    process.communicate("\n", timeout=20)
    shop.deployment.wait_for(lambda s: s["proxy"]["clients"] == 0)
    left = "SELECT 1 FROM information_schema.PROCESSLIST WHERE USER = 'app'"
    shop.deployment.wait_for(lambda _: not shop.green.sql(left), 60.0)  # the server ends its threads one by one
