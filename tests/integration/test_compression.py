"""Compressed client connections with real clients; a relay in between counts what goes over the wire."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import tool
from lab.deployment import APP_PASSWORD
from lab.fetch import Tool
from lab.toolchains import node

pytestmark = pytest.mark.servers
ROWS, WIDTH = 400, 5000
BIG = f"SELECT n, REPEAT('compressible ', {WIDTH // 13}) FROM numbers WHERE n < {ROWS} ORDER BY n"


class Relay:
    """Counts the bytes of each direction between clients and a port."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.down = self.up = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            threading.Thread(target=self._pump, args=(client, server, "up"), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, "down"), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, way: str) -> None:
        try:
            while data := source.recv(1 << 16):
                setattr(self, way, getattr(self, way) + len(data))
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            target.close()

    def close(self) -> None:
        self._listener.close()


def run(found: Tool, *args: str, text: str = "") -> str:
    done = subprocess.run([*found.argv, *args], input=text, text=True, capture_output=True, timeout=60, check=False,
                          env=found.environment() | {"MYSQL_PWD": APP_PASSWORD})  # fmt: skip
    assert done.returncode == 0, f"{done.stderr[-1500:]} {done.stdout[-500:]}"
    return done.stdout


def command_line(name: str, port: int, csv: Path, *options: str) -> None:
    """A result of 2 MB, a file of 2 MB sent, a statement over 16 MB, statements in a row, an error."""
    base = [f"-P{port}", "-h127.0.0.1", "-uapp", "-N", "-B", "--local-infile=1", "--max-allowed-packet=64M", *options, "shop"]
    out = run(tool(name), *base, "-e", BIG).splitlines()
    assert len(out) == ROWS
    assert out[7] == "7\t" + "compressible " * (WIDTH // 13)
    load = f"TRUNCATE loaded; LOAD DATA LOCAL INFILE '{csv}' INTO TABLE loaded; SELECT COUNT(*), SUM(LENGTH(t)) FROM loaded"
    assert run(tool(name), *base, "-e", load).split() == ["20000", "2000000"]
    big = "x" * (17 << 20)
    assert run(tool(name), *base, text=f"SELECT LENGTH('{big}');\nSELECT 1; SELECT 2;").split() == [str(17 << 20), "1", "2"]
    assert run(tool(name), *base, "-f", text="SELECT * FROM absent; SELECT 5;").split() == ["5"]


PHP = """<?php
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
$c = mysqli_init();
$c->real_connect('127.0.0.1', 'app', $argv[2], 'shop', (int)$argv[1], null, MYSQLI_CLIENT_COMPRESS);
for ($i = 0; $i < 50; $i++) {
  $s = $c->prepare('SELECT REPEAT(?, 1000), ?'); $x = 'compressible'; $s->bind_param('si', $x, $i); $s->execute();
  $r = $s->get_result()->fetch_row();
  if (strlen($r[0]) != 12000 || $r[1] != $i) throw new Exception('wrong');
}
$c->change_user('app', $argv[2], 'shop');
echo $c->query('SELECT COUNT(*) FROM numbers')->fetch_row()[0];
"""
MYSQLDB = """
import MySQLdb, sys
c = MySQLdb.connect(host='127.0.0.1', port=int(sys.argv[1]), user='app', passwd=sys.argv[2], db='shop', compress=True)
k = c.cursor()
for n in range(50):
    k.execute("SELECT REPEAT('compressible', 1000), %s", (n,))
    a, b = k.fetchone()
    assert (len(a), b) == (12000, n)
c.change_user('app', sys.argv[2], 'shop')
k = c.cursor()
k.execute('SELECT COUNT(*) FROM numbers')
print(k.fetchone()[0])
"""
NODE = """
const mysql = require('mysql2/promise');
(async () => {
  const c = await mysql.createConnection({host: '127.0.0.1', port: +process.argv[2], user: 'app', password: process.argv[3],
    database: 'shop', compress: true});
  const all = [];
  for (let n = 0; n < 50; n++) all.push(c.execute("SELECT REPEAT('compressible', 1000) AS a, ? AS b", [n]));
  (await Promise.all(all)).forEach(([[r]], n) => { if (r.a.length !== 12000 || +r.b !== n) throw new Error('wrong'); });
  const [[r]] = await c.query('SELECT COUNT(*) AS n FROM numbers');
  console.log(r.n);
  await c.end();
})().catch((e) => { console.error(e); process.exit(1); });
"""


@pytest.fixture
def shop(make_shop: Callable[..., Any], flavour: str) -> Any:
    shop = make_shop(flavour)
    for side in (shop.blue, shop.green):
        side.sql(f"SET GLOBAL max_allowed_packet = {64 << 20}")
    shop.blue.sql("CREATE TABLE shop.numbers (n INT PRIMARY KEY)")
    shop.blue.sql("CREATE TABLE shop.loaded (t VARCHAR(200))")
    shop.blue.sql("INSERT INTO shop.numbers VALUES " + ",".join(f"({n})" for n in range(500)))
    return shop


def test_compressed_clients(shop: Any, flavour: str, tmp_path: Path) -> None:
    csv = tmp_path / "rows.csv"
    csv.write_text("".join("a" * 100 + "\n" for _ in range(20000)))
    script = tmp_path / "client.php"
    script.write_text(PHP)
    algorithms = {
        "mysql": [("mysql", "--compression-algorithms=zlib"), ("mysql", "--compression-algorithms=zstd"),
                  ("mysql", "--compression-algorithms=zstd,zlib", "--ssl-mode=required"), ("mariadb", "--compress")],
        "mariadb": [("mariadb", "--compress"), ("mariadb", "--compress", "--ssl")],
    }[flavour]  # fmt: skip
    plain = Relay(shop.deployment.port)
    command_line("mariadb", plain.port, csv)
    assert plain.down > ROWS * WIDTH * 0.9
    assert plain.up > 18 << 20
    for name, *options in algorithms:
        relay = Relay(shop.deployment.port)
        command_line(name, relay.port, csv, *options)
        print(flavour, name, options, f"down {relay.down} of {plain.down} bytes, up {relay.up} of {plain.up}")
        assert relay.down < plain.down / 10, (name, options)
        assert relay.up < plain.up / 10, (name, options)
        relay.close()
    for found, *args in (
        (tool("php"), "-f", str(script), "--"), (tool("python-mysqldb"), "-c", MYSQLDB), (node("mysql2"), "-e", NODE, "--"),
    ):  # fmt: skip
        relay = Relay(shop.deployment.port)
        extra = ["x"] if args[0] == "-e" else []  # node has no argument for the script's name then
        assert run(found, *args[: len(args)], *extra, str(relay.port), APP_PASSWORD).strip() == "500", args[:2]
        assert relay.down < 100_000, (found.argv[-1], relay.down)
        relay.close()
    plain.close()
    # A compressed hop must not be offered to the compiled path, which reads the protocol's own bytes.
    assert "Exception in callback" not in shop.deployment.log.read_text(), shop.deployment.tail()
