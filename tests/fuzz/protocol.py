"""`python -m tests.fuzz.protocol [packets] [seed]`: whole sessions between a client and a server that both misbehave.

Each round is one session of the proxy with the network taken away: the packets of a client and of a server, right
ones for the moment mostly, others mutated, random, cut anywhere. Nothing may come out of the session's protocols (a
peer that breaks the protocol loses its connection, no more), nothing may hang, nothing may grow. A failure names the
seed of its round: `python -m tests.fuzz.protocol 1 SEED` shows it again.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

from segue.proxy.compression import CompressedHop
from segue.proxy.hot import Server
from segue.proxy.session import Phase, Session
from segue.proxy.tls import Backend
from segue.proxy.worker import Worker
from segue.wire import reply
from segue.wire.compression import Codec
from segue.wire.framing import packet
from segue.wire.proxyproto import SIGNATURE, build
from tests.fuzz import rounds
from tests.fuzz.targets import mutate

ROUND_SECONDS = 20
SESSION_LIMIT = 4 << 20
"""Bytes that one session may keep, whatever its peers send: a whole command and the end of a reply."""
TEXTS = (
    b"select 1", b"SET @a := 5, sql_mode = ''", b"select @a := @b", b"BEGIN", b"COMMIT", b"LOCK TABLES t READ",
    b"CREATE TEMPORARY TABLE t (a int)", b"SELECT GET_LOCK('a', 1)", b"KILL 1073741825", b"USE shop", b"HANDLER t OPEN",
    b"PREPARE p FROM 'select ?'", b"/* x */ SELECT FOUND_ROWS(), LAST_INSERT_ID()", b"XA START 'a'", b"", b"'\"`--\n#",
    b"LOAD DATA LOCAL INFILE 'x' INTO TABLE t", b"INSERT INTO t VALUES (" + b"1," * 300 + b"1)",
)  # fmt: skip
COMMANDS = (0, 1, 2, 3, 3, 3, 3, 4, 9, 10, 12, 14, 18, 22, 22, 23, 23, 23, 24, 25, 26, 27, 28, 31, 0xFA, 0xFF)
OKS = (b"\0\0\0\2\0\0\0", b"\0\1\5\3\0\0\0", b"\0\0\0\2\x40\0\0\0\7\1\5\4shop", b"\0\0\0\x0a\0\0\0", b"\0\xfc\1\1\0\2\0\0\0",
       b"\0\0\0\2\x40\0\0\0\x11\0\x0f\x0aautocommit\3OFF", b"\xfe\0\0\2\0\0\0")  # fmt: skip
ERRORS = (b"\xff\x28\4#42000wrong", b"\xff\x15\4#28000denied", b"\xff\x10\4full", b"\xff")
EOFS = (b"\xfe\0\0\2\0", b"\xfe\0\0\x0a\0", b"\xfe\0\0\x42\0", b"\xfe\0\0\x82\0", b"\xfe\0\0\x02\x10", b"\xfe\0\0\2\0\0\0")


def greeting(dice: random.Random) -> bytes:
    capabilities = dice.choice((0xDFFFFFFF, 0x81FFF7DE, 0x819FF7FF, dice.randrange(1 << 32)))
    plugin = dice.choice((b"caching_sha2_password", b"mysql_native_password", b"dialog", b""))
    low, high = (capabilities & 0xFFFF).to_bytes(2, "little"), (capabilities >> 16).to_bytes(2, "little")
    version = dice.choice((b"9.7.4", b"5.5.5-10.11.19-MariaDB", b""))
    return (b"\x0a" + version + b"\0" + dice.randbytes(4) + b"12345678\0" + low + b"\xff\2\0" + high + b"\x15" + bytes(6)
            + dice.randbytes(4) + b"123456789012\0" + plugin + b"\0")  # fmt: skip


def answer(dice: random.Random) -> bytes:
    capabilities = dice.choice((0x19FFA685, 0x01BFA285, 0x15FFA6A5, 0x003FA20D, dice.randrange(1 << 32))) & ~0x800
    capabilities |= dice.choice((0, 0x20, 1 << 26, 0x20 | 1 << 26))
    response = dice.randbytes(dice.choice((0, 20, 32)))
    return (capabilities.to_bytes(4, "little") + b"\0\0\0\1\x2d" + bytes(19) + dice.randbytes(4) + b"app\0"
            + bytes((len(response),)) + response + b"shop\0" + b"mysql_native_password\0"
            + b"\x18\x0c_client_name\x0aGo-MySQL-Driver" + b"\3")  # fmt: skip


def command(dice: random.Random) -> bytes:
    number = 17 if dice.random() < 0.005 else dice.choice(COMMANDS)
    statement = dice.choice((1, 1, 2, 3, 0xFFFFFFFF)).to_bytes(4, "little")
    match number:
        case 3 | 22:
            return bytes((number,)) + dice.choice(TEXTS)
        case 23:
            types = b"\0\1\3\0\5\0\0\0" if dice.random() < 0.6 else b"\0\0\5\0\0\0"
            return b"\x17" + statement + bytes((dice.choice((0, 0, 0, 1)),)) + b"\1\0\0\0" + types
        case 24:
            return b"\x18" + statement + b"\0\0" + dice.randbytes(dice.randrange(40))
        case 17:
            return b"\x11app\0\x14" + dice.randbytes(20) + b"shop\0\x2d\0mysql_native_password\0"
        case _:
            return bytes((number,)) + statement + dice.randbytes(dice.randrange(6))


def column(dice: random.Random) -> bytes:
    return b"\3def\0\1t\1t\1a\1a\x0c\x2d\0\x0b\0\0\0" + bytes((dice.choice((3, 8, 253)),)) + b"\0\0\0\0\0"


def server_packets(session: Session, dice: random.Random) -> list[bytes]:
    """What a server may say now."""
    tracker = session.tracker
    if session.asking is not None:
        return [dice.choice(OKS[:3] if dice.random() < 0.9 else ERRORS)]
    if session.phase == Phase.LOGIN:
        return [dice.choice((OKS[0], OKS[2], OKS[0], b"\1\3", b"\1\4", ERRORS[1], b"\1",
                             b"\xfemysql_native_password\0" + dice.randbytes(20) + b"\0",
                             b"\xfecaching_sha2_password\0" + dice.randbytes(20) + b"\0"))]  # fmt: skip
    match tracker.state:
        case reply.FIRST:
            kind = dice.random()
            if kind < 0.4:
                return [dice.choice(OKS)]
            if kind < 0.5:
                return [dice.choice(ERRORS)]
            if kind < 0.55:
                return [b"\xfb/etc/passwd"]
            columns = dice.randint(1, 4)
            eof = [] if tracker.deprecate_eof else [dice.choice(EOFS)]
            rows = [b"\1" + bytes((48 + n % 10,)) for n in range(dice.choice((0, 1, 5, 60)))]
            end = b"\xfe\0\0\2\0\0\0" if tracker.deprecate_eof else dice.choice(EOFS)
            return [bytes((columns,)), *(column(dice) for _ in range(columns)), *eof, *rows, end]
        case reply.PREPARE:
            columns, parameters = dice.choice((0, 1, 3)), dice.choice((0, 1, 2))
            head = b"\0" + dice.randrange(1, 5).to_bytes(4, "little") + bytes((columns, 0, parameters, 0, 0, 0, 0))
            eof = [] if tracker.deprecate_eof else [EOFS[0]]
            return [head, *((column(dice),) * parameters + tuple(eof) if parameters else ()),
                    *((column(dice),) * columns + tuple(eof) if columns else ())]  # fmt: skip
        case reply.ROWS:
            return [dice.choice((b"\1a", b"\xfb", dice.choice(EOFS), b"\xfe\0\0\2\0\0\0", b""))]
        case reply.IDLE:
            return [dice.choice((OKS[0], ERRORS[0]))] if dice.random() < 0.02 else []
        case _:
            return [dice.choice((*OKS, *EOFS, *ERRORS))]


def client_packets(session: Session, dice: random.Random) -> list[bytes]:
    """What a client may say now."""
    if session.phase == Phase.LOGIN:
        login = session._login
        if login is not None and not login.answered:
            return [answer(dice)]
        return [dice.randbytes(dice.choice((1, 20, 32))) if dice.random() < 0.9 else b"\2"]
    if session.tracker.state == reply.INFILE:
        return [dice.randbytes(30), b""]
    return [command(dice) for _ in range(dice.choice((1, 1, 1, 2, 5)))]


def spoilt(payload: bytes, dice: random.Random) -> bytes:
    return mutate(payload, dice) if dice.random() < 0.7 else dice.randbytes(dice.randrange(60))


class Line:
    """A transport without a network."""

    def __init__(self) -> None:
        self.closed = False
        self.protocol: Any = None

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes | bytearray | memoryview)

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        return default


class Alone(Worker):
    """A worker whose sessions are given their server by the fuzzer."""

    def __init__(self) -> None:
        super().__init__()
        self.active = Backend({"name": "blue", "host": "127.0.0.1", "port": 1, "user": "x", "tls": "disabled"})
        _ = self.credentials.key

    def spawn(self, job: Any) -> None:
        job.close()


class Pair:
    """One session with both its ends."""

    def __init__(self, worker: Alone) -> None:
        self.session = Session(worker, ("192.0.2.1", 5), ("127.0.0.1", 3306))
        self.front, self.back = Line(), Line()
        self.front.protocol = self.session.protocol()
        self.front.protocol.connection_made(self.front)
        self.back.protocol = Server(self.session)
        self.back.protocol.connection_made(self.back)
        self._codec: Codec | None = None

    def send(self, line: Line, payloads: list[bytes], dice: random.Random) -> None:
        """Frame, spoil now and then, cut, deliver."""
        data = b""
        for number, payload in enumerate(payloads):
            data += packet(spoilt(payload, dice) if dice.random() < 0.004 else payload, number + (line is self.back))
        if dice.random() < 0.003:
            data = mutate(data, dice)
        elif dice.random() < 0.001:
            data = dice.choice((SIGNATURE, build(("192.0.2.1", 1), ("192.0.2.1", 2)), dice.randbytes(70), b"\xff\xff\xff\0" * 3))
        if isinstance(line.protocol, CompressedHop):
            if self._codec is None:
                self._codec = Codec(line.protocol._codec._algorithm)
            data = self._codec.wrap(data)
            if dice.random() < 0.004:
                data = mutate(data, dice)
        while data and not line.closed:
            at = len(data) if dice.random() < 0.7 else dice.randint(1, len(data))
            line.protocol.data_received(data[:at])
            data = data[at:]
            hop = self.front.protocol
            while isinstance(hop, CompressedHop) and hop._scheduled:
                self.session.guarded(hop._step, b"")

    def end(self) -> None:
        for line in (self.back, self.front):
            line.protocol.connection_lost(None)

    def kept(self) -> int:
        session = self.session
        hop = self.front.protocol
        more = hop._codec.buffered + len(hop._plain) if isinstance(hop, CompressedHop) else 0
        pending = 8 * len(session.tracker.pending) + sum(map(len, session._preparing or ()))
        return len(session._kept) + len(session.tracker._rest) + len(session.tracker._head) + more + pending


def one_round(worker: Alone, seed: str) -> int:
    """One session; how many packets it was given."""
    dice = random.Random(seed)
    pair = Pair(worker)
    session = pair.session
    packets = 1
    pair.send(pair.back, [greeting(dice)], dice)
    for _ in range(dice.choice((5, 40, 200))):
        if session.phase == Phase.CLOSED:
            break
        if dice.random() < 0.01:
            worker.holding = worker.watching = not worker.holding
            (session.try_hold if worker.holding else session.release)()
        speaks = server_packets(session, dice)
        line = pair.back if speaks and dice.random() < 0.7 else pair.front
        payloads = speaks if line is pair.back else client_packets(session, dice)
        packets += len(payloads)
        pair.send(line, payloads, dice)
        assert pair.kept() < SESSION_LIMIT, f"keeps {pair.kept()} bytes"
    worker.holding = worker.watching = False
    pair.end()
    assert session.phase == Phase.CLOSED
    assert session not in worker.sessions
    return packets


def _begin() -> Callable[[str], Awaitable[int]]:
    worker = Alone()

    async def one(seed: str) -> int:
        return one_round(worker, seed)

    return one


TARGET = rounds.Target(_begin, "nothing but the protocol's own error", ROUND_SECONDS, look_every=200)


if __name__ == "__main__":
    rounds.main(TARGET)
