"""Hostile clients and a hostile server: each loses its own connection, a normal client next to them notices nothing.

The proxy is one real worker process in front of a real server; the hostile server stands between the two and relays
faithfully but for the connections it is told to spoil.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
from tests.fuzz.protocol import greeting
from tests.integration.proxyrig import ProxyRig

from lab import Server
from segue.wire.framing import packet
from segue.wire.proxyproto import build

pytestmark = pytest.mark.servers
PASSWORD = "hostile-neighbour"
ANSWER = (
    (0x19FFA205 | 0x20).to_bytes(4, "little") + b"\0\0\0\1\x2d" + bytes(23) + b"app\0" + b"\x14" + b"x" * 20
    + b"shop\0mysql_native_password\0"
)  # fmt: skip


class Neighbour(threading.Thread):
    """A normal client that works all the time."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._end = threading.Event()
        self.error: Exception | None = None
        self.statements = 0
        self.beside = ""
        """What goes on next to it."""
        self.longest: dict[str, float] = {}
        """Its longest statement in seconds, by what went on."""

    def run(self) -> None:
        try:
            with login(self._port) as conn, conn.cursor() as cursor:
                while not self._end.is_set():
                    began, beside = time.monotonic(), self.beside
                    cursor.execute("SELECT n, REPEAT('a', 100) FROM numbers WHERE n < 20 ORDER BY n")
                    assert [n for n, _ in cursor.fetchall()] == list(range(20))
                    self.longest[beside] = max(self.longest.get(beside, 0.0), time.monotonic() - began)
                    self.statements += 1
        except Exception as error:
            self.error = error

    def stop(self) -> None:
        self._end.set()
        self.join(20)
        assert self.error is None, self.error
        assert self.statements > 20
        print({name: f"{seconds * 1000:.0f} ms" for name, seconds in self.longest.items()}, self.statements, "statements")
        assert max(self.longest.values()) < 30.0, self.longest  # a machine may be starved; a worker that hangs is not back then


class Between(threading.Thread):
    """A server between the proxy and the real one: `spoil` gets the next connections, others are relayed."""

    host = "127.0.0.1"

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.spoil: list[Callable[[socket.socket], None]] = []

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                job = self.spoil.pop(0) if self.spoil else self._relay
                threading.Thread(target=self._guarded, args=(job, sock), daemon=True).start()

    @staticmethod
    def _guarded(job: Callable[[socket.socket], None], sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            sock.settimeout(10)
            job(sock)

    def _relay(self, sock: socket.socket) -> None:
        sock.settimeout(None)
        with socket.create_connection((self._server.host, self._server.port)) as real:
            pump = threading.Thread(target=copy, args=(real, sock), daemon=True)
            pump.start()
            copy(sock, real)
            pump.join(5)

    def close(self) -> None:
        self._listener.close()


def copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def login(port: int, **kw: Any) -> pymysql.Connection[Any]:
    settings: dict[str, Any] = {"user": "neighbour", "password": PASSWORD, "database": "shop", "read_timeout": 15}
    return pymysql.connect(host="127.0.0.1", port=port, **(settings | kw))


def raw(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.settimeout(15)
    return sock


def greeted(port: int) -> socket.socket:
    sock = raw(port)
    assert sock.recv(4096)[4] == 10
    return sock


def ends(sock: socket.socket) -> None:
    """The proxy closes it."""
    with contextlib.suppress(OSError), sock:
        while sock.recv(1 << 16):
            pass


def inside(port: int) -> socket.socket:
    """A socket that is logged in."""
    conn = login(port, ssl_disabled=True)
    sock = conn._sock
    assert sock is not None
    conn._sock, conn._rfile = None, None  # ours now
    return sock


# -- clients ---------------------------------------------------------------------------------------------------

def before_the_greeting(port: int) -> None:
    sock = raw(port)
    sock.sendall(os.urandom(5000))
    ends(sock)


def not_a_login(port: int) -> None:
    for data in (
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 60000, packet(b"", 1), packet(b"\1\2\3", 1), b"\xff\xff\xff\1" + bytes(100),
        packet(bytes(32), 1), packet(ANSWER[:40], 1), packet(ANSWER, 1) + packet(b"\xff" * 99, 3), build(("1.2.3.4", 1), ("1.2.3.4", 2)),
    ):  # fmt: skip
        sock = greeted(port)
        with contextlib.suppress(OSError):
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        ends(sock)


def tls_nonsense(port: int) -> None:
    for data in (os.urandom(3000), b"\x16\x03\x01\xff\xff" + bytes(70000), b"\x15\x03\x01\0\2\2\0"):
        sock = greeted(port)
        with contextlib.suppress(OSError):
            sock.sendall(packet((0x0001AA05 | 0x800).to_bytes(4, "little") + b"\0\0\0\1\x2d" + bytes(23), 1) + data)
            sock.shutdown(socket.SHUT_WR)
        ends(sock)


def commands_that_are_none(port: int) -> None:
    for data in (packet(b"", 0), b"\0\0\0\0" * 1000, packet(b"\x11app\0", 0) * 3, packet(b"\xfd" * 50, 0) * 200,
                 packet(b"\x17\1\0\0\0\1" + bytes(30), 0) * 50, os.urandom(100_000)):  # fmt: skip
        sock = inside(port)
        with contextlib.suppress(OSError):
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        ends(sock)


def never_reads(port: int) -> Iterator[None]:
    """Results of 200 MB that nobody takes: they must stay with the server, not pile up in the proxy."""
    sock = inside(port)
    sock.sendall(packet(b"\x03SELECT a.n, REPEAT('x', 20000) FROM numbers a, numbers b WHERE b.n < 20", 0))
    flood = inside(port)
    flood.settimeout(3)
    with contextlib.suppress(OSError):
        for _ in range(2000):
            flood.sendall(packet(b"\x03SELECT REPEAT('y', 2000)", 0) * 100)
    yield
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    flood.close()


def drips(port: int) -> None:
    """A login byte by byte, and a command begun and left."""
    sock = greeted(port)
    for byte in packet(ANSWER, 1)[:60]:
        sock.sendall(bytes((byte,)))
    sock.close()
    sock = inside(port)
    sock.sendall(b"\xff\xff\xff\0\3SELECT '" + b"x" * 100_000)
    sock.close()


def unfolds(port: int) -> None:
    """Compressed frames of 16 MB zeros each, many at once."""
    conn = login(port)
    del conn
    body = zlib.compress(bytes(0xFFFFFF))
    frame = len(body).to_bytes(3, "little") + b"\0" + b"\xff\xff\xff" + body
    sock = compressed(port)
    with contextlib.suppress(OSError):
        sock.sendall(frame * 100)
        sock.sendall(b"\x05\0\0\0\x09\0\0hello")
    ends(sock)


def compressed(port: int) -> socket.socket:
    """Logged in with the compressed protocol."""

    class Asking(pymysql.Connection):  # type: ignore[type-arg]
        def _write_bytes(self, data: bytes) -> None:
            if len(data) > 40 and not hasattr(self, "_asked"):
                self._asked = True
                data = data[:4] + (int.from_bytes(data[4:8], "little") | 0x20).to_bytes(4, "little") + data[8:]
            super()._write_bytes(data)

        def _send_autocommit_mode(self) -> None: ...  # the first command would go uncompressed

        def set_character_set(self, *_a: Any) -> None: ...

    conn = Asking(host="127.0.0.1", port=port, user="neighbour", password=PASSWORD, database="shop", autocommit=None,
                  ssl_disabled=True)  # fmt: skip
    sock = conn._sock
    conn._sock, conn._rfile = None, None
    assert sock is not None
    sock.settimeout(15)
    return sock


CLIENTS = (before_the_greeting, not_a_login, tls_nonsense, commands_that_are_none, drips, unfolds)


# -- servers ---------------------------------------------------------------------------------------------------

def _dice(seed: int) -> Any:
    import random

    return random.Random(seed)


GOOD_GREETING = packet(
    b"\x0a9.7.4\0\1\0\0\0" + b"12345678\0" + b"\x05\xa2\xff\2\0\xff\x19\x15" + bytes(10) + b"123456789012\0mysql_native_password\0", 0
)
OK = b"\0\0\0\2\0\0\0"


def says(*data: bytes) -> Callable[[socket.socket], None]:
    """A server that sends these one after another, each after it has heard something, and then hangs up."""

    def serve(sock: socket.socket) -> None:
        for part in data:
            sock.sendall(part)
            sock.recv(1 << 16)

    return serve


def floods(sock: socket.socket) -> None:
    """A server that logs the client in and then sends without end."""
    for part in (GOOD_GREETING, packet(OK, 2), packet(OK, 1)):
        sock.sendall(part)
        sock.recv(1 << 16)
    with contextlib.suppress(OSError):
        for _ in range(3000):
            sock.sendall(b"\xf0\xff\xff\1" + bytes(100_000))


SERVERS = (
    says(os.urandom(4000)), says(b"\xff\xff\xff\0" + b"\x0a" * 100), says(packet(b"", 0)), says(packet(b"\x09old", 0)),
    says(packet(greeting(_dice(1)), 0)), says(packet(b"\x0a" + b"\xff" * 300, 0)), says(b""),
    says(GOOD_GREETING, packet(OK, 2) * 50), says(GOOD_GREETING, packet(b"\xfe" + b"x" * 5000, 2), packet(b"\1\4", 4)),
    says(GOOD_GREETING, packet(OK, 2), packet(OK, 1), packet(b"\xfb/etc/passwd", 1)),
    says(GOOD_GREETING, packet(OK, 2), packet(OK, 1), packet(b"\xfe" * 9, 1) * 40),
    says(GOOD_GREETING, packet(OK, 2), packet(OK, 1), packet(b"\xfd\xff\xff\xff", 1) + os.urandom(50_000)),
    says(GOOD_GREETING, packet(OK, 2), packet(b"\0\0\0\2\x40\0\0\0\xfc\xff\xffx", 1)), floods,
)  # fmt: skip


@pytest.fixture
def server(pairs: Callable[[str], tuple[Server, Server]]) -> Iterator[Server]:
    one = pairs("mysql")[0]
    one.sql("CREATE DATABASE shop")
    one.sql("CREATE TABLE shop.numbers (n INT PRIMARY KEY)")
    one.sql("INSERT INTO shop.numbers VALUES " + ",".join(f"({n})" for n in range(500)))
    one.sql("DROP USER IF EXISTS neighbour@'%'")
    one.sql("CREATE USER neighbour@'%%' IDENTIFIED BY %s", (PASSWORD,))
    one.sql("GRANT ALL ON shop.* TO neighbour@'%'")
    yield one
    one.sql("DROP USER neighbour@'%'")


def resident(pid: int) -> int:
    """KB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4


def settled(pid: int) -> int:
    """KB, as soon as the process has not grown for half a second; as they are after a minute of growing."""
    deadline, seen = time.monotonic() + 60.0, [0]
    while len(set(seen[-6:])) > 1 or len(seen) < 6:
        seen.append(resident(pid))
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return seen[-1]


async def test_hostile_clients_and_servers(server: Server, tmp_path: Path) -> None:
    between = Between(server)
    between.start()
    rig = await ProxyRig(tmp_path).start(between)
    try:
        await asyncio.to_thread(drive, rig, between)
        async with asyncio.timeout(60):
            while (await rig.ask("status"))["clients"]:
                await asyncio.sleep(0.05)
    finally:
        await rig.stop()
        between.close()


def drive(rig: ProxyRig, between: Between) -> None:
    login(rig.port).close()
    neighbour = Neighbour(rig.port)
    neighbour.start()
    pid = rig.process.pid
    before = resident(pid)
    for client in CLIENTS:
        neighbour.beside = client.__name__
        client(rig.port)
        assert neighbour.is_alive(), (client.__name__, neighbour.error)
    for number, spoil in enumerate(SERVERS):
        between.spoil, neighbour.beside = [spoil], f"server {number}"
        with pytest.raises((pymysql.err.MySQLError, OSError, AssertionError, IndexError, struct.error)):
            with login(rig.port, read_timeout=12) as conn, conn.cursor() as cursor:
                cursor.execute("SELECT 1")
                assert cursor.fetchall() == ((1,),)
                cursor.execute("SELECT 1")
                assert cursor.fetchall() == ((1,),)
        assert not between.spoil
        assert neighbour.is_alive(), (number, neighbour.error)
    grown, neighbour.beside = 0, "never_reads"
    for _ in never_reads(rig.port):
        grown = settled(pid) - before
    print(f"worker grew by {grown} kB")
    neighbour.stop()
    assert grown < 150 << 10, "what is not read must not pile up in the proxy"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and rig.process.returncode is None:
        with contextlib.suppress(pymysql.err.MySQLError):
            login(rig.port).close()
            break
    assert rig.process.returncode is None


# -- inside the compiled path ------------------------------------------------------------------------------------

QUERIES = tuple(b"\x03" + sql for sql in (
    b"SELECT 1", b"SELECT 2", b"SELECT 3", b"SELECT n, REPEAT('a', 50) FROM numbers WHERE n < 9", b"SELECT * FROM absent", b"SELECT REPEAT('b', 70000)",
    b"SELECT NULL, '', n FROM numbers WHERE n < 3 ORDER BY n DESC",
))  # fmt: skip


def spoilt(data: bytes, dice: Any) -> bytes:
    """Something that was right a moment ago."""
    out = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(out) + 1)
        match dice.randrange(4):
            case 0:
                out[at : at + 1] = dice.randbytes(1)
            case 1:
                del out[at : at + dice.randint(1, 9)]
            case 2:
                out[at:at] = dice.choice((b"\xff", b"\0", b"\xfe", b"\xfb", dice.randbytes(5)))
            case 3:
                del out[at:]
    return bytes(out)


def spoils_replies(server: Server, dice: Any) -> Callable[[socket.socket], None]:
    """A server that answers rightly for a while, and then nearly."""

    def serve(sock: socket.socket) -> None:
        with socket.create_connection((server.host, server.port)) as real:
            real.settimeout(10)
            threading.Thread(target=copy, args=(sock, real), daemon=True).start()
            left = 2000 + dice.randrange(200_000)
            with contextlib.suppress(OSError):
                while data := real.recv(1 << 16):
                    left -= len(data)
                    sock.sendall(spoilt(data, dice) if left < 0 else data)

    return serve


def complete(got: bytes) -> bool:
    """Do these bytes hold a whole reply, as far as one can tell of replies that may be spoilt?"""
    at, eofs = 0, 0
    while at + 4 < len(got):
        length, first = int.from_bytes(got[at : at + 3], "little"), got[at + 4]
        if at == 0 and first in (0x00, 0xFF):
            return True
        at += 4 + length
        eofs += first == 0xFE and length < 9
        if at <= len(got) and (eofs == 2 or (first == 0xFF and eofs)):
            return True
    return False


def asks(port: int, dice: Any, *, spoil_after: int) -> None:
    """A client that sends plain queries until something breaks, its own commands spoilt from the given number on."""
    sock = inside(port)
    sock.settimeout(0.5)
    with contextlib.suppress(OSError), sock:
        for number in range(150):
            command = packet(dice.choice(QUERIES), 0)
            if number >= spoil_after:
                sock.sendall(spoilt(command, dice))
                sock.settimeout(0.05)  # it may wait for more, and so may we
            else:
                sock.sendall(command)
            got = b""
            while not complete(got):
                if not (more := sock.recv(1 << 16)):
                    return
                got += more


async def test_what_is_spoilt_inside_the_compiled_path(server: Server, tmp_path: Path) -> None:
    """Replies and commands that break in the middle of a plain session: it ends, and nothing else does."""
    between = Between(server)
    between.start()
    rig = await ProxyRig(tmp_path).start(between)
    try:
        compiled = (await rig.ask("status"))["compiled"]
        if compiled is None:
            pytest.skip("there is no compiled path here")
        worker = rig.process.pid
        neighbour = Neighbour(rig.port)
        neighbour.start()
        neighbour.beside = "spoilt packets"
        before = resident(worker)
        for seed in range(24):
            dice = _dice(seed)
            if seed % 2:
                between.spoil.append(spoils_replies(server, dice))
            await asyncio.to_thread(asks, rig.port, dice, spoil_after=10_000 if seed % 2 else 20 + dice.randrange(20))
        await asyncio.to_thread(neighbour.stop)
        status = await rig.ask("status")
        assert rig.process.returncode is None
        assert status["compiled"]["commands"] > 200, "they were inside"
        assert resident(worker) - before < 100_000
        print(status["compiled"], "KB more:", resident(worker) - before)
    finally:
        await rig.stop()
        between.close()
