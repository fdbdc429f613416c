"""Corners of the protocol through real drivers: each asks the proxy for what few applications do, on both flavours."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import tool
from lab.deployment import APP_PASSWORD
from lab.fetch import Tool
from lab.toolchains import node

pytestmark = pytest.mark.servers

PHP = """<?php
mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
[, $port, $password, $file] = $argv;
$c = mysqli_init();
$c->options(MYSQLI_OPT_LOCAL_INFILE, 1);
$c->real_connect('127.0.0.1', 'app', $password, 'shop', (int)$port);
function same($what, $a, $b) { if ($a !== $b) { echo "$what: "; var_dump($a, $b); exit(1); } }

// A procedure by the binary protocol (mysqlnd does not give its OUT parameters, but has to read them).
for ($i = 1; $i <= 3; $i++) {
  $s = $c->prepare('CALL twice(?, ?, ?)');
  $in = 20 + $i; $out = 0; $both = 5;
  $s->bind_param('iii', $in, $out, $both);
  $s->execute();
  $rows = [];
  do { if ($r = $s->get_result()) { $rows[] = $r->fetch_all(); $r->free(); } } while ($s->next_result());
  same('call', $rows[0], [[$in]]);
  $s->close();
  same('after', $c->query('SELECT 1')->fetch_row()[0], '1');
}
// Cursors: rows come in pieces, with other statements between the pieces.
foreach ([1, 7] as $prefetch) {
  $s = $c->prepare('SELECT id FROM accounts ORDER BY id');
  $s->attr_set(MYSQLI_STMT_ATTR_CURSOR_TYPE, MYSQLI_CURSOR_TYPE_READ_ONLY);
  $s->execute();
  $s->bind_result($id);
  for ($n = 0; $s->fetch(); $n++) {
    same('row', $id, $n);
    if ($n % 50 == 0) same('between', $c->query("SELECT $n + 1")->fetch_row()[0], (string)($n + 1));
  }
  same('rows', $n, 200);
  $s->free_result();
}
// Half-sent long data, then the whole of it.
$s = $c->prepare('SELECT LENGTH(?), REVERSE(?)');
$null = null; $text = 'abcde';
$s->bind_param('bs', $null, $text);
for ($n = 0; $n < 30; $n++) $s->send_long_data(0, str_repeat('a', 100000));
$s->execute();
same('long', $s->get_result()->fetch_row(), [3000000, strrev($text)]);
// Another user, and the state of the old one gone.
$c->query("SET @mark = 5");
$c->change_user('app', $password, 'shop');
same('mark', $c->query('SELECT @mark')->fetch_row()[0], null);
// A file of ours, several statements at once, one of them wrong.
$c->query("LOAD DATA LOCAL INFILE '$file' INTO TABLE entries FIELDS TERMINATED BY ',' (client, seq, note)");
$c->multi_query('SELECT COUNT(*) FROM entries WHERE client = 9; CALL pair(); SELECT absent FROM accounts; SELECT 4');
$seen = [];
try {
  do { if ($r = $c->store_result()) { $seen[] = $r->fetch_row()[0]; $r->free(); } } while ($c->next_result());
} catch (mysqli_sql_exception $e) { $seen[] = $e->getCode(); }
same('multi', $seen, ['5000', '1', '2', 1054]);
same('goes on', $c->query('SELECT 3')->fetch_row()[0], '3');
echo 'all';
"""

NODE = """
const mysql = require('mysql2/promise');
const assert = require('assert');
const [port, password] = process.argv.slice(2);
(async () => {
  const c = await mysql.createConnection({host: '127.0.0.1', port: +port, user: 'app', password, database: 'shop',
    multipleStatements: true, maxPreparedStatements: 5});
  // Many statements at once on one connection, more than the driver keeps prepared: closes between executions.
  const all = [];
  for (let n = 0; n < 60; n++) all.push(c.execute(`SELECT ? + ${n % 9} AS x`, [n]), c.query('SELECT ? AS x', [n]));
  const got = await Promise.all(all);
  for (let n = 0; n < 60; n++) { assert.equal(+got[2 * n][0][0].x, n + n % 9); assert.equal(+got[2 * n + 1][0][0].x, n); }
  // A row and a statement of more than 16 MB.
  for (const size of [0xffffff - 60, 0xffffff, 17 * 1024 * 1024]) {
    const [[row]] = await c.execute('SELECT LENGTH(?) AS n, ? AS t', ['x'.repeat(size), 'y'.repeat(size)]);
    assert.equal(row.n, size); assert.equal(row.t.length, size);
  }
  // A procedure by the binary protocol (mysql2 does not give its OUT parameters).
  for (let n = 1; n < 5; n++) {
    const [found] = await c.execute('CALL twice(?, ?, ?)', [n, 0, 5]);
    assert.equal(found[0][0].a, n);
  }
  const [sets] = await c.query('SELECT 1; SELECT id FROM accounts ORDER BY id; CALL pair()');
  assert.equal(sets[1].length, 200);
  await c.query("SET @mark = 7");
  await c.reset();
  const [[mark]] = await c.query('SELECT @mark AS m, DATABASE() AS d');
  assert.equal(mark.m, null); assert.equal(mark.d, 'shop');
  const [[again]] = await c.execute('SELECT ? + 0 AS x', [5]);
  assert.equal(+again.x, 5);
  await c.changeUser({user: 'app', password, database: 'shop'});
  const [[user]] = await c.query('SELECT CURRENT_USER() AS u');
  assert.equal(user.u, 'app@%');
  await assert.rejects(c.changeUser({user: 'app', password: 'wrong', database: 'shop'}));
  // A stream that is read slowly.
  const d = await mysql.createConnection({host: '127.0.0.1', port: +port, user: 'app', password, database: 'shop'});
  let rows = 0;
  for await (const r of d.connection.query("SELECT a.id, REPEAT('z', 2000) AS t FROM accounts a, accounts b LIMIT 20000").stream()) {
    if (++rows % 5000 === 0) await new Promise((done) => setTimeout(done, 50));
    if (r.t.length !== 2000) throw new Error('a row is cut');
  }
  assert.equal(rows, 20000);
  await d.end();
  console.log('all');
  process.exit(0);
})().catch((e) => { console.error(e); process.exit(1); });
"""


def run(found: Tool, *args: str, text: str = "") -> str:
    done = subprocess.run([*found.argv, *args], input=text, text=True, capture_output=True, timeout=100, check=False,
                          env=found.environment() | {"MYSQL_PWD": APP_PASSWORD})  # fmt: skip
    assert done.returncode == 0, f"{done.stderr[-1500:]} {done.stdout[-500:]}"
    return done.stdout


@pytest.mark.timeout(240)
def test_corners(make_shop: Callable[..., Any], flavour: str, tmp_path: Path) -> None:
    shop = make_shop(flavour)
    for side in (shop.blue, shop.green):
        side.sql(f"SET GLOBAL max_allowed_packet = {64 << 20}")
    port = str(shop.deployment.port)
    for routine in (
        "CREATE PROCEDURE twice(IN a INT, OUT b INT, INOUT c INT) BEGIN SELECT a; SET b = a * 2; SET c = c + 1; END",
        "CREATE PROCEDURE pair() BEGIN SELECT 1; SELECT 2; END",
    ):
        for side in (shop.blue, shop.green):
            with side.connect(database="shop") as conn, conn.cursor() as there:
                there.execute("SET sql_log_bin = 0")
                there.execute(routine)
    rows = tmp_path / "rows.csv"
    rows.write_text("".join(f"9,{n},line {n}\n" for n in range(5000)))
    script = tmp_path / "corners.php"
    script.write_text(PHP)
    assert run(tool("php"), "-d", "mysqli.allow_local_infile=1", "-f", str(script), "--", port, APP_PASSWORD, str(rows)) == "all"
    program = tmp_path / "corners.js"
    program.write_text(NODE)
    assert run(node("mysql2"), str(program), port, APP_PASSWORD).strip() == "all"
    assert shop.deployment.segue("status")[1]["proxy"]["dropped"] == 0
    shop.assert_equal()
