"""PROXY protocol with real servers: from a load balancer to us, and from us to a MariaDB that understands it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pymysql
import pytest

from lab.deployment import APP_PASSWORD
from segue.wire.proxyproto import SIGNATURE, build

pytestmark = pytest.mark.servers
CLIENT = ("192.0.2.7", 50123)


class Balanced(pymysql.Connection):  # type: ignore[type-arg]
    """A client whose connection begins with what a load balancer puts there."""

    def __init__(self, shop: Any, header: bytes, **kw: Any) -> None:
        self._header = header
        settings = {"user": "app", "password": APP_PASSWORD, "database": "shop"} | kw
        super().__init__(host="127.0.0.1", defer_connect=True, read_timeout=10, **settings)
        sock = socket.create_connection(("127.0.0.1", shop.deployment.port), source_address=("127.0.0.2", 0))
        for byte in header[:20]:  # in pieces, as a network may
            sock.sendall(bytes((byte,)))
        sock.sendall(header[20:])
        self.connect(sock)


def address(conn: Any) -> str:
    with conn.cursor() as cursor:
        cursor.execute("SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()")
        return str(cursor.fetchone()[0])


def refused(shop: Any, header: bytes) -> str:
    with socket.create_connection(("127.0.0.1", shop.deployment.port), source_address=("127.0.0.2", 0)) as sock:
        sock.settimeout(10)
        sock.sendall(header)
        received = b""
        while data := sock.recv(4096):
            received += data
    return received.decode("latin-1")


def test_in_and_out(make_shop: Callable[..., Any]) -> None:
    """A MariaDB with proxy_protocol_networks sees the client's own address, whoever stands between."""
    shop = make_shop("mariadb", start=False, proxy='proxy_protocol_from = ["127.0.0.2/32"]\nconnect_timeout = 1.5')
    text = shop.deployment.config.read_text()
    shop.deployment.config.write_text(text.replace('user = "segue"\n', 'user = "segue"\nproxy_protocol = true\n'))
    for server in (shop.blue, shop.green):
        server.sql("SET GLOBAL proxy_protocol_networks = '127.0.0.1'")
        server.sql("SET GLOBAL log_warnings = 2")
    try:
        shop.deployment.start()
        header = build(CLIENT, ("127.0.0.1", 3306))
        for first in (header, b"PROXY TCP4 192.0.2.7 127.0.0.1 50123 3306\r\n"):
            conn = Balanced(shop, first)
            assert address(conn) == "192.0.2.7:50123"
            conn.close()
        six = Balanced(shop, build(("2001:db8::7", 50123), ("::1", 3306)))
        assert address(six) == "2001:db8::7:50123"
        six.close()
        # A health check speaks for itself; so does a client that comes from elsewhere, without a header.
        own = Balanced(shop, SIGNATURE + b"\x20\0\0\0")
        assert address(own).startswith("127.0.0.2:")
        direct = pymysql.connect(host="127.0.0.1", port=shop.deployment.port, user="app", password=APP_PASSWORD)
        assert address(direct) == f"localhost:{direct._sock.getsockname()[1]}"  # type: ignore[union-attr]
        # An account for that address only: the server's own rules work again.
        shop.blue.sql("CREATE USER visitor@'192.0.2.7' IDENTIFIED BY 'visit'")
        Balanced(shop, header, user="visitor", password="visit", database=None).close()
        with pytest.raises(pymysql.err.OperationalError) as denied:
            pymysql.connect(host="127.0.0.1", port=shop.deployment.port, user="visitor", password="visit")
        assert denied.value.args[0] == 1045
        check_refusals(shop)
        report = shop.deployment.segue("switchover")[1]
        assert report["outcome"] == "done"
        assert address(Balanced(shop, header)) == "192.0.2.7:50123"
    finally:
        shop.blue.sql("DROP USER IF EXISTS visitor@'192.0.2.7'")
        for server in (shop.blue, shop.green):
            server.sql("SET GLOBAL proxy_protocol_networks = ''")


def check_refusals(shop: Any) -> None:
    """Who must send a header and does not, and who may not and does, lose their connection; others do not notice."""
    for wrong in (b"GET / HTTP/1.0\r\n\r\n", SIGNATURE + b"\x21\x12\0\x0c" + bytes(12), b"PROXY TCP4 1.2.3.4\r\n"):
        assert "must send a PROXY protocol header first" in refused(shop, wrong)
    assert "no whole header within 1.5 s" in refused(shop, b"PROXY TCP")
    with socket.create_connection(("127.0.0.1", shop.deployment.port)) as sock:
        sock.settimeout(10)
        assert sock.recv(4096)[4] == 10, "a greeting"
        sock.sendall(build(CLIENT, ("127.0.0.1", 3306)))
        assert sock.recv(4096) == b""
    deadline = time.monotonic() + 5
    while "proxy_protocol_from does not list" not in shop.deployment.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert shop.deployment.segue("status")[1]["proxy"]["refused"]["proxy_protocol"] == 4


def test_a_server_that_does_not_understand(make_shop: Callable[..., Any]) -> None:
    """MySQL takes the header for a login: the client is told, nothing hangs."""
    shop = make_shop("mysql", start=False, proxy="connect_timeout = 3.0")
    text = shop.deployment.config.read_text()
    shop.deployment.config.write_text(text.replace('user = "segue"\n', 'user = "segue"\nproxy_protocol = true\n'))
    shop.deployment.start()
    with pytest.raises(pymysql.err.MySQLError):
        pymysql.connect(host="127.0.0.1", port=shop.deployment.port, user="app", password=APP_PASSWORD, read_timeout=10)
    assert shop.deployment.segue("status")[1]["replication"]["state"] == "streaming"
