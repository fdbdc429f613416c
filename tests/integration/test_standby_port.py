"""The port on the standby: reads go there, writes are refused, and its sessions end before it becomes writable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pymysql
import pytest

from lab.deployment import APP_PASSWORD
from lab.server import free_port

pytestmark = pytest.mark.servers


def test_sessions_end_at_the_role_change(make_shop: Callable[..., Any], flavour: str) -> None:
    port = free_port()
    shop = make_shop(flavour, proxy=f'standby_listen = "127.0.0.1:{port}"')

    def connect() -> pymysql.Connection[Any]:
        return pymysql.connect(host="127.0.0.1", port=port, user="app", password=APP_PASSWORD, database="shop",
                               autocommit=True, read_timeout=20)  # fmt: skip

    def server_port(conn: Any) -> int:
        with conn.cursor() as cursor:
            cursor.execute("SELECT @@port, COUNT(*) FROM accounts")
            found, rows = cursor.fetchone()
            assert rows == 200
            return int(found)

    shop.deployment.wait_for(lambda s: s["proxy"]["standby"] is not None)
    idle, running = connect(), connect()
    assert server_port(idle) == shop.green.port
    with idle.cursor() as cursor, pytest.raises(pymysql.err.MySQLError) as refused:
        cursor.execute("INSERT INTO entries (client, seq) VALUES (1, 1)")
    assert refused.value.args[0] == 1290
    status = shop.deployment.segue("status")[1]["proxy"]["standby"]
    assert status == {"listen": f"127.0.0.1:{port}", "side": "green", "clients": 2}
    running._execute_command(3, "SELECT SLEEP(30)")
    assert shop.deployment.segue("switchover")[1]["outcome"] == "done", "they hold nothing up"
    for conn, read in ((running, running._read_query_result), (idle, lambda: idle.query("INSERT INTO entries (client, seq) VALUES (1, 2)"))):
        with pytest.raises((pymysql.err.MySQLError, OSError)) as ended:
            read()
        assert ended.value.args[0] in (1053, 2006, 2013), (conn, ended.value)
    assert server_port(connect()) == shop.blue.port
    assert shop.deployment.segue("status")[1]["proxy"]["standby"]["side"] == "blue"
    assert shop.green.sql("SELECT COUNT(*) FROM shop.entries WHERE client = 1")[0][0] == 0
    shop.assert_equal()
