"""What the proxy's door keeps to, on a real deployment with two workers: the limits mean both together."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pymysql
import pytest

from lab.deployment import APP_PASSWORD

pytestmark = pytest.mark.servers


def connect(shop: Any, **kw: Any) -> pymysql.Connection[Any]:
    settings: dict[str, Any] = {"host": "127.0.0.1", "port": shop.deployment.port, "user": "app",
                                "password": APP_PASSWORD, "database": "shop", "read_timeout": 20}  # fmt: skip
    return pymysql.connect(**(settings | kw))


def code_of(call: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(pymysql.err.MySQLError) as refused:
        call()
    return refused.value.args[0], str(refused.value.args[1])


def lines(shop: Any, fragment: str) -> list[dict[str, Any]]:
    found = (json.loads(line) for line in shop.deployment.log.read_text().splitlines() if line.startswith("{"))
    return [line for line in found if fragment in line["event"]]


def test_max_clients_of_both_workers(make_shop: Callable[..., Any]) -> None:
    shop = make_shop("mysql", workers=2, proxy="max_clients = 6")
    conns = [connect(shop) for _ in range(6)]
    for _ in range(8):  # whichever worker it comes to
        code, text = code_of(lambda: connect(shop))
        assert code == 1040
        assert "too many clients (proxy.max_clients = 6)" in text
    conns.pop().close()
    shop.deployment.wait_for(lambda s: s["proxy"]["clients"] == 5)
    conns.append(connect(shop))
    status = shop.deployment.segue("status")[1]["proxy"]
    assert status["refused"]["max_clients"] == 8
    assert status["limits"]["max_clients"] == 6
    assert all(w["accepted"] + w["refused"]["max_clients"] for w in status["workers"]), status["workers"]
    assert lines(shop, "too many clients")
    # A limit that is raised holds at once, and one worker's death leaves no count behind.
    shop.deployment.config.write_text(shop.deployment.config.read_text().replace("max_clients = 6", "max_clients = 7"))
    shop.deployment.segue("reload")
    conns.append(connect(shop))
    assert code_of(lambda: connect(shop))[0] == 1040
    for conn in conns:
        conn.close()


def test_connect_and_idle_timeout(make_shop: Callable[..., Any]) -> None:
    shop = make_shop("mariadb", proxy="connect_timeout = 1.0\nidle_timeout = 2.0")
    began = time.monotonic()
    silent = socket.create_connection(("127.0.0.1", shop.deployment.port))
    silent.settimeout(10)
    idle, busy, sleeping = connect(shop), connect(shop), connect(shop)
    assert idle._sock is not None
    address = f"127.0.0.1:{idle._sock.getsockname()[1]}"
    with sleeping.cursor() as cursor:
        for _ in range(10):  # it is in the compiled path then
            cursor.execute("SELECT 1")
        sleeping._execute_command(3, "SELECT SLEEP(4)")
        asked = time.monotonic()
        received = b""
        while data := silent.recv(4096):
            received += data
            busy.ping()
        assert b"login not finished within 1 s (proxy.connect_timeout)" in received
        assert time.monotonic() - began > 0.9
        while time.monotonic() - asked < 3.5:
            busy.ping()
            time.sleep(0.2)
        assert code_of(lambda: idle.query("SELECT 1"))[0] in (2006, 2013, 4031)
        sleeping._read_query_result()  # a long statement is not idleness
        busy.ping()
    status = shop.deployment.segue("status")[1]["proxy"]
    assert status["timed_out"]["connect"] == 1
    first = lines(shop, "idle for too long")[0]
    assert (first["user"], first["client"]) == ("app", address), "the others were not idle, then"
    shop.deployment.wait_for(lambda s: s["proxy"]["timed_out"]["idle"] == 3, 10)


def test_failed_logins_of_one_address(make_shop: Callable[..., Any]) -> None:
    shop = make_shop("mysql", workers=2, proxy="max_failed_logins = 5\nfailed_login_window = 3.0")
    good = connect(shop)
    for number in range(5):
        code, text = code_of(lambda: connect(shop, password="wrong"))
        assert code == 1045, (number, text)
    code, text = code_of(lambda: connect(shop))
    assert code == 1129
    assert "5 failed logins from 127.0.0.1, try again in" in text
    assert APP_PASSWORD not in text
    good.ping()  # who is in stays
    connect(shop, bind_address="127.0.0.2").close()  # another address is not concerned
    assert shop.deployment.segue("status")[1]["proxy"]["refused"]["failed_logins"] == 1
    assert lines(shop, "too many failed logins")[0]["client"] == "127.0.0.1"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            connect(shop).close()
            return
        except pymysql.err.MySQLError:
            time.sleep(0.2)
    pytest.fail("still refused long after the window")
