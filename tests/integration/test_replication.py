"""Replication on real servers: every kind of value, DDL, large transactions, servers without GTID, and reasons to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

import workload
from lab import Deployment, Lab, Server

pytestmark = pytest.mark.servers

TYPES = """CREATE TABLE shop.kinds (
 id INT PRIMARY KEY AUTO_INCREMENT, a TINYINT, b SMALLINT UNSIGNED, c MEDIUMINT, d BIGINT UNSIGNED, e DECIMAL(30,10),
 f FLOAT, g DOUBLE, h BIT(17), i DATE, j TIME(6), k DATETIME(3), l TIMESTAMP(6) NULL, m YEAR, n CHAR(10), o VARCHAR(300),
 p BINARY(4), q VARBINARY(20), r TEXT, s LONGBLOB, t ENUM('x','y'), u SET('p','q','r'), v JSON, w POINT,
 x VARCHAR(20) CHARACTER SET latin1, y INT GENERATED ALWAYS AS (a + 1) STORED, z INT INVISIBLE) ENGINE=InnoDB"""
ROW = (
    "INSERT INTO shop.kinds (a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,z) VALUES (-128, 65535, -8388608,"
    " 18446744073709551615, 12345678901234567890.0123456789, 1.5, -2.25e100, b'10101010101010101', '2024-02-29',"
    " '-838:59:58.999999', '9999-12-31 23:59:59.999', '2038-01-19 03:14:07.123456', 2155, 'ä€', REPEAT('ü', 299),"
    " 0x00FF, 0x0001020304, REPEAT('𝄞', 1000), REPEAT(0x00, 100000), 'y', 'p,r', '{\"k\": [1, null, \"ä\"]}',"
    " ST_GeomFromText('POINT(1 2)'), 'é', 5)"
)


def caught_up(deployment: Deployment, blue: Server, green: Server, table: str) -> None:
    wanted = blue.sql(f"CHECKSUM TABLE {table}")[0][1]
    assert wanted is not None
    deployment.wait_for(lambda _s: green.sql(f"CHECKSUM TABLE {table}")[0][1] == wanted)


def test_every_type_and_statement(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour, start=False)
    for server in (shop.blue, shop.green):
        server.sql(TYPES)
        server.sql("CREATE TABLE shop.keyless (a INT, b VARCHAR(10)) ENGINE=InnoDB")
    shop.deployment.start()
    for statement in (
        ROW,
        ROW,
        "INSERT INTO shop.kinds (id) VALUES (NULL)",
        "UPDATE shop.kinds SET a = NULL, o = '' WHERE id = 1",
        "REPLACE INTO shop.kinds (id, n) VALUES (2, 'new')",
        "INSERT INTO shop.kinds (id, a) VALUES (3, 7) ON DUPLICATE KEY UPDATE a = 9",
        "UPDATE shop.kinds SET id = id + 100 WHERE id = 3",
        "INSERT INTO shop.keyless VALUES (1, 'a'), (1, 'a'), (NULL, NULL)",
        "DELETE FROM shop.keyless WHERE a = 1 LIMIT 1",
        "DELETE FROM shop.kinds WHERE id = 1",
    ):
        shop.blue.sql(statement)
    for table in ("shop.kinds", "shop.keyless"):
        caught_up(shop.deployment, shop.blue, shop.green, table)
    assert shop.green.sql("SELECT COUNT(*) FROM shop.kinds")[0][0] == 2


def test_a_large_transaction_is_all_or_nothing(make_shop: Callable[..., Any], flavour: str) -> None:
    """Larger than a batch: its parts are not to be seen before the last one."""
    shop = make_shop(flavour)
    shop.blue.sql("INSERT INTO shop.entries (client, seq, note) SELECT 1, a.id * 200 + b.id, REPEAT('x', 90)"
                  " FROM shop.accounts a, shop.accounts b")  # fmt: skip
    seen: set[int] = set()

    def all_there(_status: dict[str, Any]) -> bool:
        seen.add(int(shop.green.sql("SELECT COUNT(*) FROM shop.entries")[0][0]))
        return 40000 in seen

    shop.deployment.wait_for(all_there)
    assert seen <= {0, 40000}
    shop.assert_equal()


def test_ddl_stops_and_goes_on_when_both_sides_fit(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour)
    shop.blue.sql("INSERT INTO shop.entries (client, seq) VALUES (1, 1)")
    shop.blue.sql("ALTER TABLE shop.entries ADD COLUMN extra INT")
    shop.blue.sql("INSERT INTO shop.entries (client, seq, extra) VALUES (1, 2, 3)")
    status = shop.deployment.wait_for(lambda s: s["replication"]["state"] == "stopped")
    assert "ADD COLUMN extra" in status["replication"]["error"]
    assert "Run it on the target" in status["replication"]["mend"]
    assert shop.green.sql("SELECT COUNT(*) FROM shop.entries")[0][0] == 1
    code, answer = shop.deployment.segue("switchover", check=False)
    assert code == 1
    assert "stopped" in answer["error"]
    shop.green.sql("ALTER TABLE shop.entries ADD COLUMN extra INT")
    shop.deployment.wait_for(lambda s: s["replication"]["state"] == "streaming")
    shop.assert_equal()
    assert shop.green.sql("SELECT extra FROM shop.entries WHERE seq = 2")[0][0] == 3


def test_a_missing_row_stops_and_is_named(make_shop: Callable[..., Any], flavour: str) -> None:
    """Somebody wrote on the standby: nothing is guessed, and what came before is applied."""
    shop = make_shop(flavour)
    shop.green.sql("DELETE FROM shop.accounts WHERE id = 7")
    shop.blue.sql("INSERT INTO shop.entries (client, seq) VALUES (1, 1)")
    shop.blue.sql("UPDATE shop.accounts SET balance = 1 WHERE id = 7")
    shop.blue.sql("INSERT INTO shop.entries (client, seq) VALUES (1, 2)")
    status = shop.deployment.wait_for(lambda s: s["replication"]["state"] == "stopped")
    assert "shop.accounts" in status["replication"]["error"]
    assert "Compare both sides" in status["replication"]["mend"]
    assert shop.green.sql("SELECT seq FROM shop.entries") == [(1,)]
    shop.green.sql(f"INSERT INTO shop.accounts VALUES (7, {workload.BALANCE})")
    shop.deployment.wait_for(lambda s: s["replication"]["state"] == "streaming")
    shop.assert_equal()


def test_purged_binlogs_are_named(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour)
    shop.deployment.stop()
    shop.blue.sql("INSERT INTO shop.entries (client, seq) VALUES (1, 1)")
    shop.blue.sql("FLUSH BINARY LOGS")
    last = shop.blue.sql("SHOW BINARY LOGS")[-1][0]
    deadline = time.monotonic() + 20
    while len(shop.blue.sql("SHOW BINARY LOGS")) > 1:  # MariaDB keeps them while its engine has not checkpointed
        shop.blue.sql(f"PURGE BINARY LOGS TO '{last}'")
        assert time.monotonic() < deadline
    shop.deployment.launch()
    status = shop.deployment.wait_for(lambda s: s["replication"]["state"] == "stopped")
    assert "anew" in status["replication"]["mend"]


@pytest.mark.slow
def test_file_positions_where_gtid_is_off(lab: Lab, tmp_path: Any) -> None:
    """MySQL without GTID: replication, a restart of the daemon, binlog rotation, a switchover and the way back."""
    blue, green = (lab.start("mysql", f"plain-{n}", gtid=False) for n in ("blue", "green"))
    deployment = Deployment(tmp_path / "plain", blue, green)
    try:
        for server in (blue, green):
            workload.create_tables(server)
        deployment.start()
        assert ":" in deployment.segue("status")[1]["replication"]["applied_position"]
        blue.sql("INSERT INTO shop.entries (client, seq) VALUES (1, 1)")
        blue.sql("FLUSH BINARY LOGS")
        blue.sql("INSERT INTO shop.entries (client, seq) VALUES (1, 2)")
        caught_up(deployment, blue, green, "shop.entries")
        deployment.stop()
        blue.sql("INSERT INTO shop.entries (client, seq) VALUES (1, 3)")
        deployment.start()
        caught_up(deployment, blue, green, "shop.entries")
        assert deployment.segue("switchover")[1]["outcome"] == "done"
        green.sql("INSERT INTO shop.entries (client, seq) VALUES (2, 1)")
        caught_up(deployment, green, blue, "shop.entries")
        assert deployment.segue("rollback")[1]["outcome"] == "done"
        assert blue.sql("SELECT COUNT(*), COUNT(DISTINCT client, seq) FROM shop.entries")[0] == (4, 4)
    finally:
        deployment.stop()
        for server in (blue, green):
            server.destroy()
            lab.servers.remove(server)
