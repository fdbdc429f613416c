"""The reply tracker finds the end of every reply, not earlier and not later, however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.wire import constants as c
from segue.wire.constants import ProtocolError
from segue.wire.framing import packet
from segue.wire.reply import IDLE, INFILE, ReplyTracker


def ok(status: int = 2, head: int = 0) -> bytes:
    return bytes((head, 0, 0)) + status.to_bytes(2, "little") + b"\0\0"


def eof(status: int = 2) -> bytes:
    return b"\xfe\0\0" + status.to_bytes(2, "little")


ERR = b"\xff\x48\x04#HY000no"
COLUMN = b"\x03def\0\0\0\x01a\0\x0c\x3f\0\x0b\0\0\0\x03\0\0\0\0\0"


def result(rows: list[bytes], columns: int, status: int, *, deprecate: bool) -> list[bytes]:
    out = [bytes((columns,)), *[COLUMN] * columns]
    if not deprecate:
        out.append(eof(status))
    out += rows
    out.append(ok(status, 0xFE) if deprecate else eof(status))
    return out


def wire(payloads: list[bytes]) -> bytes:
    return b"".join(packet(p, (n + 1) & 0xFF) for n, p in enumerate(payloads))


ROWS = [b"\x01a", b"\xfb", b"\x05hello", b"\xfc\x05\x00hello", b"\x00"]


def replies(*, deprecate: bool) -> list[tuple[str, int, list[bytes], int]]:
    """(name, command, payloads, status at the end)."""
    def many(status: int) -> list[bytes]:
        return result(ROWS * 5, 2, status, deprecate=deprecate)

    prepared = b"\0\x01\0\0\0\x02\0\x01\0\0\0\0"
    definitions = [COLUMN] + ([] if deprecate else [eof()]) + [COLUMN] * 2 + ([] if deprecate else [eof()])
    return [
        ("ok", c.COM_QUERY, [ok()], 2),
        ("in transaction", c.COM_QUERY, [ok(3)], 3),
        ("error", c.COM_QUERY, [ERR], 0),
        ("empty result", c.COM_QUERY, result([], 1, 2, deprecate=deprecate), 2),
        ("rows", c.COM_QUERY, many(2), 2),
        ("same rows", c.COM_QUERY, result([b"\x03abc"] * 40, 1, 2, deprecate=deprecate), 2),
        ("error behind rows", c.COM_QUERY, [*many(2)[:-1], ERR], 0),
        ("several results", c.COM_QUERY, many(10) + many(10) + [ok(2)], 2),
        ("ok then rows", c.COM_QUERY, [ok(10), *many(3)], 3),
        ("execute", c.COM_STMT_EXECUTE, many(2), 2),
        ("fetch", c.COM_STMT_FETCH, [b"\0\0row", b"\0\0row2", ok(0x82, 0xFE) if deprecate else eof(0x82)], 0x82),
        ("prepare", c.COM_STMT_PREPARE, [prepared, *definitions], 0),
        ("prepare without anything", c.COM_STMT_PREPARE, [b"\0\x01\0\0\0\0\0\0\0\0\0\0"], 0),
        ("prepare refused", c.COM_STMT_PREPARE, [ERR], 0),
        ("statistics", c.COM_STATISTICS, [b"Uptime: 5"], 0),
        ("ping", c.COM_PING, [ok()], 2),
    ]


CASES = [(d, *r) for d in (False, True) for r in replies(deprecate=d)]


def tracker(*, deprecate: bool) -> ReplyTracker:
    one = ReplyTracker()
    one.deprecate_eof = deprecate
    return one


@pytest.mark.parametrize(("deprecate", "name", "command", "payloads", "status"), CASES, ids=[f"{x[1]}-{x[0]}" for x in CASES])
def test_every_cut(deprecate: bool, name: str, command: int, payloads: list[bytes], status: int) -> None:
    data = wire(payloads)
    for cut in range(len(data)):
        one = tracker(deprecate=deprecate)
        one.expect(command)
        one.feed(data[:cut])
        assert one.state != IDLE, cut
        one.feed(data[cut:])
        assert one.state == IDLE
        assert one.status == status or payloads[-1] is ERR or command == c.COM_STMT_PREPARE
        assert one.uncertain == (payloads[-1] is ERR)
    one = tracker(deprecate=deprecate)
    one.expect(command)
    for at in range(len(data)):
        assert one.state != IDLE
        one.feed(data[at : at + 1])
    assert one.state == IDLE


@settings(max_examples=150, deadline=None)
@given(data=st.data(), deprecate=st.booleans())
def test_a_session_in_any_pieces(data: st.DataObject, deprecate: bool) -> None:
    """One tracker over many replies, the remembered result head included, agrees with a fresh one per reply."""
    one = tracker(deprecate=deprecate)
    for _ in range(data.draw(st.integers(1, 12))):
        name, command, payloads, _ = data.draw(st.sampled_from(replies(deprecate=deprecate)))
        rest = wire(payloads)
        fresh = tracker(deprecate=deprecate)
        fresh.status, fresh.uncertain = one.status, one.uncertain
        fresh.expect(command)
        fresh.feed(rest)
        one.expect(command)
        while rest:
            assert one.state != IDLE, name
            size = data.draw(st.integers(1, len(rest)))
            one.feed(rest[:size])
            rest = rest[size:]
        assert (one.state, one.status, one.uncertain) == (IDLE, fresh.status, fresh.uncertain), name


def test_pipelined_commands() -> None:
    one = tracker(deprecate=True)
    one.expect(c.COM_QUERY)
    one.expect(c.COM_PING)
    one.expect(c.COM_STMT_CLOSE)  # has no reply
    one.feed(wire(result([b"\x01a"], 1, 2, deprecate=True)))
    assert one.state != IDLE
    one.feed(wire([ok()]))
    assert one.state == IDLE


def test_local_infile() -> None:
    one = tracker(deprecate=True)
    one.expect(c.COM_QUERY)
    one.feed(wire([b"\xfbfile.csv"]))
    assert one.state == INFILE
    one.file_sent()
    one.feed(wire([ok()]))
    assert one.state == IDLE


@pytest.mark.parametrize("deprecate", [False, True])
def test_rows_over_16_mb(deprecate: bool) -> None:
    big = b"\xfe" + b"x" * (c.MAX_PAYLOAD - 1)
    head, tail = result([], 1, 2, deprecate=deprecate)[:-1], result([], 1, 2, deprecate=deprecate)[-1]
    data = wire([*head, big, b"\xfe rest", tail])
    one = tracker(deprecate=deprecate)
    one.expect(c.COM_QUERY)
    step = 1 << 20
    for at in range(0, len(data), step):
        assert one.state != IDLE
        one.feed(data[at : at + step])
    assert one.state == IDLE


def test_unasked_bytes_are_an_error() -> None:
    with pytest.raises(ProtocolError):
        tracker(deprecate=True).feed(wire([ok()]))
