"""`python -m tests.fuzz.targets [seconds]`: mutates good byte streams and feeds them to the protocol and binlog code."""

from __future__ import annotations

import contextlib
import random
import sys
import time
import zlib
from collections.abc import Callable
from decimal import Decimal

import zstandard

from segue.binlog import events as ev
from segue.binlog import jsonb
from segue.binlog.decoder import Decoder
from segue.binlog.events import BinlogError
from segue.binlog.images import Head, Layout
from segue.binlog.partial import apply
from segue.binlog.positions import GtidSet
from segue.binlog.rows import TableMap
from segue.binlog.tagged import tagged_gtid
from segue.binlog.values import deflate, inflate
from segue.proxy.credentials import Credentials
from segue.proxy.login import Login
from segue.proxy.look import look
from segue.replicate.assembler import Assembler, Route, Stop
from segue.schema.selection import Selection
from segue.wire.answers import Answers
from segue.wire.constants import CLIENT_COMPRESS, CLIENT_ZSTD_COMPRESSION, ProtocolError
from segue.wire.framing import PacketCutter, packet
from segue.wire.login import Answer, ChangeUser, Greeting, switch_request
from segue.wire.ok import changes, split_state
from segue.wire.reply import ReplyTracker
from tests.unit.events import UUID_TEXT, Builder

TAGGED = bytes.fromhex("027000000002a4264612a1039c22c503cd02e50204f103000000020404060a7365675f3108000a040c7fb863a8ab0c61061085041283120b")

GREETING = (
    b"\x0a9.7.4\0\x08\0\0\0" + b"12345678\0" + b"\xff\xf7" + b"\xff" + b"\2\0" + b"\xff\xdf" + b"\x15" + b"\0" * 10
    + b"123456789012\0" + b"caching_sha2_password\0"
)  # fmt: skip
ANSWER = b"\x85\xa6\xff\x19" + b"\0\0\0\1" + b"\xff" + b"\0" * 23 + b"app\0" + b"\x20" + b"x" * 32 + b"shop\0plugin\0"
REPLY = packet(b"\1", 1) + packet(b"\3def" + b"\0" * 20, 2) + packet(b"\3abc", 3) + packet(b"\xfe\0\0\2\0\0\0", 4)


class Hops:
    """A login's session that goes nowhere."""

    client_tls = None
    server_tls = None
    connection_id = 1 << 30
    credentials = Credentials()
    both_capabilities = (-1, -1)

    def to_client(self, data: bytes) -> None: ...
    def to_server(self, data: bytes) -> None: ...
    def start_client_tls(self, rest: bytes) -> None: ...
    def start_server_tls(self) -> None: ...
    def login_failed(self, payload: bytes = b"") -> None: ...
    def logged_in(self, payload: bytes) -> None: ...

    def server_wants_tls(self, *, client_tls: bool) -> bool:
        return False

    def tls_offered(self) -> bool:
        return True

    def compression_offered(self) -> int:
        return CLIENT_COMPRESS | CLIENT_ZSTD_COMPRESSION


def wire(data: bytes, dice: random.Random) -> None:
    look(data)
    for parse in (Greeting.parse, Answer.parse, ChangeUser.parse, switch_request, split_state, lambda d: list(changes(d))):
        try:
            parse(data)
        except ProtocolError:
            continue
    with contextlib.suppress(ProtocolError):
        PacketCutter(1 << 16).feed(data)
    tracker = ReplyTracker()
    tracker.deprecate_eof = dice.random() < 0.5
    tracker.expect(dice.choice((3, 0x16, 0x17, 0x1C, 0x0E, 9)))
    at = dice.randrange(len(data) + 1)
    try:
        tracker.feed(data[:at])
        tracker.feed(data[at:])
    except ProtocolError:
        pass
    answers = Answers((3, 0x16, 3), deprecate_eof=tracker.deprecate_eof)
    with contextlib.suppress(ProtocolError):
        answers.feed(data[:at])
        answers.feed(data[at:])
    login = Login(Hops())
    try:
        login.from_server(packet(GREETING if dice.random() < 0.7 else data[:70000], 0))
        login.from_client(data)
        login.from_server(data)
    except ProtocolError:
        pass


def _payload(b: Builder) -> bytes:
    inner = Builder(crc=False)
    data = b"".join(p[1:] for p in (inner.query("BEGIN"), inner.table_map(1, "t"), inner.rows(1, b"x" * 40), inner.xid()))
    packed = zstandard.compress(data)
    return b.event(ev.TRANSACTION_PAYLOAD, b"\2\1\0\3\3\xfc" + len(data).to_bytes(2, "little") + b"\1\3\xfc" + len(packed).to_bytes(2, "little") + b"\0" + packed)


_XID = "X'616263',X'71',7"
_SQUEEZED = b"\1\0\0\0\0\0\1\0\2\xff\x82\0\x40" + zlib.compress(b"r" * 64)
SCENES: tuple[Callable[[Builder], list[bytes]], ...] = (
    lambda b: [b.gtid(11), b.query("BEGIN"), b.table_map(1, "t"), b.rows(1, b"x"), b.xid()],
    lambda b: [b.gtid(11), _payload(b)],
    lambda b: [b.event(ev.GTID_TAGGED, TAGGED), b.query("BEGIN"), b.table_map(1, "t"), b.event(166, _SQUEEZED), b.xid()],
    lambda b: [b.gtid(11), b.query(f"XA START {_XID}"), b.table_map(1, "t"), b.rows(1, b"x"), b.query(f"XA END {_XID}"),
               b.event(ev.XA_PREPARE, b"\0\7\0\0\0\3\0\0\0\1\0\0\0abcq"), b.gtid(12), b.query(f"XA COMMIT {_XID}")],
)  # fmt: skip


def binlog(data: bytes, dice: random.Random) -> None:
    one = Assembler(GtidSet(f"{UUID_TEXT}:1-10"), Route, Selection(["*"]), 1 << 20)
    b = Builder(crc=False)
    packets = [b.description(), *dice.choice(SCENES)(b)]
    number = dice.randrange(1, len(packets))
    spoilt = mutate(packets[number], dice) if dice.random() < 0.8 else b"\0" + data
    if len(spoilt) < 20:
        spoilt += bytes(20 - len(spoilt))  # the stream itself gives no shorter event
    packets[number] = spoilt
    with contextlib.suppress(BinlogError, Stop):
        one.feed(iter(packets))


def mutate(data: bytes, dice: random.Random) -> bytes:
    """Some bytes changed, cut out, doubled or put in."""
    out = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(out) + 1)
        match dice.randrange(4):
            case 0 if at < len(out):
                out[at] = dice.choice((0, 1, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF, dice.randrange(256)))
            case 1:
                del out[at : at + dice.randint(1, 8)]
            case 2:
                out[at:at] = out[at : at + dice.randint(1, 16)]
            case _:
                out[at:at] = dice.randbytes(dice.randint(1, 4))
    return bytes(out)


TABLE = (
    b"\1\0\0\0\0\0\1\0\4shop\0\1t\0\5\3\x0f\xf6\x12\xf5\6\x40\0\5\2\6\4\x1f" b"\1\1\x80\2\1\x2d\4\x0a\1a\1b\1c\1d\1e\x08\1\0"
)

ROW = Decoder(TableMap.parse(TABLE).described).encode(
    (7, b"abc", Decimal("5.25"), "2024-01-02 03:04:05.678901", jsonb.Document({"k": [1, None, 1.5]}))
)


def codec(data: bytes, dice: random.Random) -> None:
    """A table map, rows of it cut and read, and a JSON document by itself, each of them spoilt."""
    with contextlib.suppress(BinlogError):
        jsonb.decode(mutate(DOCUMENT, dice))
    with contextlib.suppress(BinlogError):
        apply(DOCUMENT, mutate(DIFFERENCES, dice))
    with contextlib.suppress(BinlogError):
        tagged_gtid(mutate(TAGGED, dice))
    with contextlib.suppress(BinlogError):
        inflate(mutate(deflate(b"x" * 500), dice))
    try:
        table = TableMap.parse(mutate(TABLE, dice) if dice.random() < 0.5 else TABLE)
        layout, decoder = Layout(table), Decoder(table.described)
    except BinlogError:
        return
    kind = dice.choice((30, 31, 32, 39, 23))
    rows = mutate(ROW * dice.randint(1, 3), dice) if dice.random() < 0.8 else data
    try:
        head, _ = Head.parse(kind, mutate(Head(b"\2\0", 5, b"\xff", b"\xff").bytes(), dice))
    except BinlogError:
        head = Head(b"\2\0", 5, b"\xff", b"\xff")
    for read in (layout.split, layout.slices, lambda _k, h, r: decoder.rows(h, r)):
        with contextlib.suppress(BinlogError):
            if head.columns == table.columns:
                read(kind, head, rows)


DOCUMENT = jsonb.encode(
    jsonb.Document({"a": [1, -70000, "x" * 200, None, True, 1.5, {"b": Decimal("1.50")}], "t": jsonb.Temporal(12, "2024-01-01 00:00:00")})
)
DIFFERENCES = b"\0\x06$.a[0]\3\5\7\0" + b"\1\x05$.new\3\5\7\0" + b"\2\x03$.t"
TARGETS: tuple[Callable[[bytes, random.Random], None], ...] = (wire, binlog, codec)
CORPUS = (GREETING, ANSWER, REPLY, packet(ANSWER, 1), packet(GREETING, 0), b"")


def run(rounds: int, seed: int) -> None:
    """Raises what a target raised, with the seed that shows it again."""
    for number in range(rounds):
        dice = random.Random(f"{seed}-{number}")
        data = mutate(dice.choice(CORPUS), dice)
        for target in TARGETS:
            try:
                target(data, dice)
            except Exception as error:
                raise AssertionError(f"{target.__name__}, seed {seed}-{number}, {data!r}") from error


if __name__ == "__main__":
    deadline = time.monotonic() + float(sys.argv[1] if len(sys.argv) > 1 else 30)
    seed = random.randrange(1 << 30)
    rounds = 0
    while time.monotonic() < deadline:
        run(1000, seed + rounds)
        rounds += 1000
    print(f"{rounds} rounds from seed {seed}: nothing but the rooms' own errors")
