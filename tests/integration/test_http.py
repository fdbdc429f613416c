"""The daemon's HTTP end, over real connections: what it serves, to whom, and what bad requests do not do."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from lab.deployment import APP_PASSWORD, SEGUE_PASSWORD
from lab.server import free_port
from segue.admin import http as http_end

pytestmark = pytest.mark.servers
PATHS = ("/", "/status", "/healthz", "/metrics")


def get(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        conn.request(method, path, headers=headers)
        answer = conn.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        conn.close()


def raw(port: int, data: bytes, seconds: float = 60.0) -> bytes:
    """All that is answered to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as sock:
        sock.sendall(data)
        answer = b""
        try:
            while more := sock.recv(65536):
                answer += more
        except ConnectionError:
            pass
        return answer


@pytest.fixture
def served(make_shop: Callable[..., Any]) -> tuple[Any, int]:
    shop = make_shop("mysql", start=False)
    port = free_port()
    config = shop.deployment.config
    config.write_text(config.read_text() + f'http = "127.0.0.1:{port}"\nhttp_hosts = ["Segue.Example"]\n')
    shop.deployment.start()
    return shop, port


def test_what_is_served(served: tuple[Any, int]) -> None:
    shop, port = served
    # the same document as the command line's, but for what goes on meanwhile
    code, headers, body = get(port, "/status")
    there, here = json.loads(body), shop.deployment.segue("status")[1]
    assert (code, headers["content-type"]) == (200, "application/json")
    assert there.keys() == here.keys()
    assert there["proxy"].keys() == here["proxy"].keys()
    assert {k: there[k] for k in ("deployment", "active", "epoch", "phase")} == {"deployment": "lab", "active": "blue", "epoch": 1, "phase": "steady"}

    assert get(port, "/healthz")[::2] == (200, b"ok\n")
    code, headers, body = get(port, "/metrics")
    assert (code, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b'\nsegue_active_side{side="blue"} 1\n' in body
    code, headers, body = get(port, "/")
    assert (code, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"Clients are served and the standby is fed." in body
    assert "default-src 'none'" in headers["content-security-policy"]
    for path in PATHS:
        code, headers, body = get(port, path, "HEAD")
        assert code == 200
        assert not body
        assert int(headers["content-length"]) > 0
        assert headers["cache-control"] == "no-store"

    load = shop.load(clients=4)
    try:
        report = shop.deployment.segue("switchover")[1]
    finally:
        told = load.stop()
    assert told["errors"] == 0
    wanted = f"segue_switchover_pause_seconds {round(report['pause_ms'] / 1000, 6)!r}"
    text = until(lambda: str(get(port, "/metrics")[2], "ascii"), lambda t: wanted in t and "segue_healthy 1" in t)
    assert re.search(r"\nsegue_proxy_relocated_total [1-9]", text)
    assert "\nsegue_proxy_dropped_total 0\n" in text
    assert 'segue_active_side{side="green"} 1' in text
    for path in PATHS:
        page = get(port, path)[2]
        assert APP_PASSWORD.encode() not in page
        assert SEGUE_PASSWORD.encode() not in page

    # what is wrong is said, and found again when it is mended
    shop.deployment.segue("pause", "--timeout", "50")
    until(lambda: get(port, "/healthz")[::2], lambda a: a == (503, b"clients are paused by an operator\n"))
    assert b"clients are paused by an operator" in get(port, "/")[2]
    shop.deployment.segue("resume")
    shop.blue.stop()
    until(lambda: get(port, "/healthz"), lambda a: a[0] == 503 and b"blue cannot be reached: " in a[2])
    text = get(port, "/metrics")[2]
    assert b"\nsegue_healthy 0\n" in text
    assert b'\nsegue_side_reachable{side="blue"} 0\n' in text
    assert b"blue cannot be reached: " in get(port, "/")[2]
    shop.blue.start()
    until(lambda: get(port, "/healthz"), lambda a: a[0] == 200)


def until(ask: Callable[[], Any], good: Callable[[Any], bool], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not good(value := ask()):
        assert time.monotonic() < deadline, value
        time.sleep(0.1)
    return value


def test_to_whom(served: tuple[Any, int]) -> None:
    """A name that somebody else's DNS can point at us reads nothing, and nobody writes."""
    _, port = served
    for host in ("localhost", f"localhost:{port}", "127.0.0.1", "[::1]:80", "10.1.2.3", "segue.example", "SEGUE.example:1"):
        assert get(port, "/healthz", Host=host)[0] == 200, host
    for host in ("evil.example", f"evil.example:{port}", "segue.example.evil.example", "127.0.0.1.evil.example", ""):
        code, _, body = get(port, "/status", Host=host)
        assert code == 421, host
        assert b"deployment" not in body
    assert raw(port, b"GET /healthz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 "), "HAProxy's check names no host"
    for head in (b"", b"Host: localhost\r\nHost: localhost\r\n"):
        assert raw(port, b"GET /status HTTP/1.1\r\n" + head + b"\r\n").startswith(b"HTTP/1.1 400 ")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "SWITCHOVER"):
        code, headers, body = get(port, "/status", method)
        assert (code, headers["allow"]) == (405, "GET, HEAD"), method
        assert b"deployment" not in body
    body = b"POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n\r\n" + b"x" * 50000
    assert raw(port, body).startswith(b"HTTP/1.1 405 ")
    assert get(port, "/../status")[0] == get(port, "/statu")[0] == get(port, "/status/")[0] == 404


def refused_in_a_crowd(port: int) -> bool:
    """One more connection than there may be is told so; False when the others were gone again by then."""
    crowd = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(http_end.MAX_CONNECTIONS)]
    try:
        for sock in crowd:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        answer = raw(port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return answer.startswith(b"HTTP/1.1 503 ") and b"too many connections" in answer
    finally:
        for sock in crowd:
            sock.close()


def test_bad_requests_hurt_nobody(served: tuple[Any, int]) -> None:
    shop, port = served
    for data, code in (
        (b"\r\n\r\n", 400), (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400), (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5_000 + b"\r\n", 431), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ):  # fmt: skip
        answer = raw(port, data)
        assert answer.startswith(b"HTTP/1.1 %d " % code) or not answer, (data[:40], answer)
    assert until(lambda: refused_in_a_crowd(port), bool)
    assert shop.deployment.status()["phase"] == "steady", "the socket is another matter"
    assert raw(port, b"GET / HTTP/1.1\r\nHost: loc").startswith(b"HTTP/1.1 408 "), "its time is over"
    until(lambda: raw(port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"), lambda a: a.startswith(b"HTTP/1.1 200 "))

    # many at once share one look at the daemon, and all are answered
    codes: list[int] = []
    askers = [threading.Thread(target=lambda: codes.append(get(port, "/status")[0])) for _ in range(20)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert codes == [200] * 20
    assert "http request failed" not in shop.deployment.log.read_text()
    assert "Task exception" not in shop.deployment.log.read_text()


def test_an_address_that_cannot_be_used(make_shop: Callable[..., Any]) -> None:
    shop = make_shop("mysql", start=False)
    config = shop.deployment.config
    plain = config.read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.write_text(plain + f'http = "127.0.0.1:{taken.getsockname()[1]}"\n')
        shop.deployment.launch()
        assert shop.deployment.process.wait(60) == 1
    assert "cannot listen on admin.http = 127.0.0.1:" in shop.deployment.log.read_text()
    assert not shop.deployment.socket.exists()

    port = free_port()
    config.write_text(plain + f'http = "0.0.0.0:{port}"\n')
    shop.deployment.start()
    assert get(port, "/healthz")[0] == 200
    assert "admin.http can be reached from elsewhere" in shop.deployment.log.read_text()
