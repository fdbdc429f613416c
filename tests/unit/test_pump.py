"""The compiled hot path says what its Python twins say, or leaves a chunk to them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.proxy.hot import quiet
from segue.proxy.look import Effect, Kind, look, plain
from segue.proxy.state import Statement
from segue.wire import reply
from segue.wire.constants import MORE_RESULTS, STATE_CHANGED
from segue.wire.framing import packet

_pump = pytest.importorskip("segue.proxy._pump", reason="no compiler where Segue was installed: the twin serves alone")


def lenenc(value: int) -> bytes:
    if value < 0xFB:
        return bytes((value,))
    return b"\xfc" + value.to_bytes(2, "little") if value < 1 << 16 else b"\xfd" + value.to_bytes(3, "little")


def text(value: bytes) -> bytes:
    return lenenc(len(value)) + value


blocks = st.lists(
    st.one_of(
        st.tuples(st.just(0), st.just(text(b"sql_mode") + text(b"ANSI"))),
        st.tuples(st.just(1), st.just(text(b"shop"))),
        st.tuples(st.sampled_from([2, 3, 4, 5]), st.binary(max_size=20).map(text)),
    ),
    max_size=3,
).map(lambda found: b"".join(bytes((kind,)) + text(value) for kind, value in found))


@st.composite
def oks(draw: st.DrawFn, more: bool, first: int = 0) -> bytes:
    """An OK packet's payload."""
    status = draw(st.sampled_from([2, 3, 0x22, 0x2003])) | (MORE_RESULTS if more else 0)
    head = bytes((first,)) + lenenc(draw(st.sampled_from([0, 1, 250, 300, 70000]))) + lenenc(draw(st.sampled_from([0, 5, 300])))
    info = draw(st.binary(max_size=10))
    if draw(st.integers(0, 3)):
        return head + status.to_bytes(2, "little") + b"\0\0" + (text(info) if info else b"")
    return head + (status | STATE_CHANGED).to_bytes(2, "little") + b"\0\0" + text(info) + text(draw(blocks))


@st.composite
def replies(draw: st.DrawFn, deprecate_eof: bool) -> list[bytes]:
    """The payloads of one reply to COM_QUERY, often of several results."""
    out: list[bytes] = []
    for left in range(draw(st.integers(0, 2)), -1, -1):
        kind = draw(st.sampled_from(["ok", "error", "rows", "rows", "rows", "infile" if draw(st.integers(0, 9)) == 0 else "ok"]))
        if kind == "ok":
            out.append(draw(oks(left > 0)))
        elif kind == "infile":
            return [*out, b"\xfbfile"]
        elif kind == "error":
            return [*out, b"\xff\x28\x04#42000no"]
        else:
            columns = draw(st.sampled_from([1, 2, 5, 250]))
            eof = b"\xfe\0\0" + ((MORE_RESULTS if left else 0) | 2).to_bytes(2, "little")
            out += [lenenc(columns), *[b"\x03def" + bytes(20)] * columns]
            if not deprecate_eof:
                flags = draw(st.sampled_from([2, 3, 2, 3, 0x42, 0x1002]))
                out.append(b"\xfe\0\0" + flags.to_bytes(2, "little"))
                if flags & 0x40:  # a cursor: rows come only with COM_STMT_FETCH
                    return out
            rows = draw(st.lists(st.binary(max_size=30).filter(lambda r: not r or r[0] < 0xFE), max_size=12))
            out += [*rows, draw(oks(left > 0, 0xFE)) if deprecate_eof else eof]
            if draw(st.integers(0, 9)) == 0:
                out[-1] = b"\xff\x25\x05#70100killed"
                return out
    return out


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_walk_ends_where_the_tracker_ends_or_leaves_the_chunk_alone(data: st.DataObject) -> None:
    deprecate_eof, strip = data.draw(st.booleans()), data.draw(st.booleans())
    payloads = data.draw(replies(deprecate_eof))
    stream = b"".join(packet(p, n + 1) for n, p in enumerate(payloads))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    tracker = reply.ReplyTracker()
    tracker.deprecate_eof, tracker.strip = deprecate_eof, strip
    tracker.state = reply.FIRST
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        chunk = stream[begin:end]
        walkable = tracker.state in (reply.FIRST, reply.COLUMNS, reply.ROWS) and tracker.between_packets
        before = tracker.snapshot()
        forwarded = tracker.feed(chunk) if chunk else b""
        if not walkable or not chunk:
            continue
        after = _pump.walk(before, deprecate_eof, strip, chunk)
        if after is not None:
            assert forwarded == chunk
            assert tracker.between_packets
            assert after == tracker.snapshot()


def test_a_chunk_of_out_parameters_is_not_handed_over() -> None:
    """Their last EOF lacks MORE_RESULTS though an OK follows: only the tracker remembers that."""
    tracker = reply.ReplyTracker()
    tracker.state = reply.FIRST
    tracker.feed(packet(b"\1", 1) + packet(b"\3def" + bytes(20), 2) + packet(b"\xfe\0\0\2\x10", 3))
    assert tracker.state == reply.ROWS
    assert not tracker.between_packets
    tracker.feed(packet(b"\0\0", 4) + packet(b"\xfe\0\0\2\0", 5))
    assert tracker.state == reply.FIRST
    assert tracker.between_packets
    tracker.feed(packet(b"\0\0\0\2\0\0\0", 6))
    assert tracker.state == reply.IDLE


@pytest.mark.parametrize("deprecate_eof", [False, True])
def test_a_usual_reply_is_walked(deprecate_eof: bool) -> None:
    end = b"\xfe\0\0\x03\0\0\0" if deprecate_eof else b"\xfe\0\0\x03\0"
    payloads = [b"\x02", *[b"\x03def" + bytes(20)] * 2, *([] if deprecate_eof else [b"\xfe\0\0\x03\0"]),
                *[b"\x1e" + b"a" * 30 + b"\x01b"] * 100, end]  # fmt: skip
    stream = b"".join(packet(p, n + 1) for n, p in enumerate(payloads))
    state = _pump.walk((reply.FIRST, 2, False, 0, 0, False), deprecate_eof, True, stream)
    assert state is not None
    assert state[:3] == (reply.IDLE, 3, False)
    cut = len(stream) // 2 // 37 * 37 + 20
    half = _pump.walk((reply.FIRST, 2, False, 0, 0, False), deprecate_eof, True, stream[:cut])
    assert half is not None
    assert half[0] == reply.ROWS
    assert half[4] > 0
    assert _pump.walk(half, deprecate_eof, True, stream[cut:]) == state


def test_transaction_state_passes_where_the_client_asked_for_it_and_only_there() -> None:
    stream = packet(b"\0\0\0\x02\x40\0\0\0\x0b\x05\x09\x08________", 1)
    before = (reply.FIRST, 3, False, 0, 0, False)
    assert _pump.walk(before, False, False, stream) == (reply.IDLE, 2, False, 0, 0, False)
    assert _pump.walk(before, False, True, stream) is None


words = st.sampled_from(
    [b"SELECT", b"select 1", b"inSERT into t values (1)", b"UPDATE", b"SET x=1", b"GET_LOCK('a',1)", b"get_lock(", b";", b" ",
     b"BEGIN", b"START TRANSACTION", b"COMMIT", b"ROLLBACK", b"SHOW", b"WITH", b"REPLACE", b"DELETE", b"_LOC", b"K", b"'", b"\xff",
     b"CREATE TEMPORARY TABLE t(a int)", b"x" * 9000, b"LOCK TABLES t READ", b"EXECUTE s"]
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(words, max_size=6).map(b"".join))
def test_the_same_queries_pass(query: bytes) -> None:
    chunk = packet(b"\x03" + query, 0)
    assert _pump.passes(None, None, chunk) == (chunk if plain(chunk) else None)


EFFECTS: list[tuple[Effect, ...]] = [
    (), tuple(look(b"SELECT a FROM t WHERE id = ?")), (Effect(Kind.BEGIN),), (Effect(Kind.TRANSACTION), Effect(Kind.LOCK, b"l")),
    tuple(look(b"CREATE TEMPORARY TABLE t (a INT)")),
]  # fmt: skip


class _Session:
    def __init__(self, statements: dict[bytes, Statement], mapped: dict[bytes, bytes] | None) -> None:
        self.state = self
        self.statements = statements
        self.mapped = mapped


@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_the_same_executions_pass(data: st.DataObject) -> None:
    parameters = data.draw(st.sampled_from([0, 1, 3, 9]))
    bitmap = (parameters + 7) // 8
    types = b"\x01" + data.draw(st.binary(min_size=parameters * 2, max_size=parameters * 2))
    known = data.draw(st.sampled_from([types, b"\xff", types[:-1] + b"\x77"]))
    effects = data.draw(st.sampled_from(EFFECTS))
    environment = (b"", None, None, None)
    unbound = data.draw(st.booleans())
    statement = Statement(b"SELECT ?", environment, parameters, 14 + bitmap if parameters else 0, known, unbound, effects)
    ident = (1).to_bytes(4, "little")
    flags = data.draw(st.sampled_from([b"\0", b"\x01"]))
    bound = data.draw(st.sampled_from([types + b"x" * parameters, b"\0" + b"x" * parameters]))
    body = b"\x17" + data.draw(st.sampled_from([ident, b"\x02\0\0\0"])) + flags + b"\x01\0\0\0"
    chunk = packet(body + (bytes(bitmap) + bound if parameters else b""), 0)
    statements = {ident: statement}
    mapped = data.draw(st.sampled_from([None, {}, {ident: b"\x09\x08\x07\x06"}]))
    assert _pump.passes(statements, mapped, chunk) == quiet(_Session(statements, mapped), chunk)  # type: ignore[arg-type]


@pytest.mark.parametrize("effects", EFFECTS)
def test_a_prepared_statement_that_only_uses_a_transaction_passes(effects: tuple[Effect, ...]) -> None:
    ident = b"\1\0\0\0"
    chunk = packet(b"\x17" + ident + b"\0\1\0\0\0", 0)
    statements = {ident: Statement(b"...", (b"", None, None, None), 0, 0, effects=effects)}
    moved = {ident: b"\x63\0\0\0"}
    harmless = all(e.kind in (Kind.TRANSACTION, Kind.BEGIN) for e in effects)
    assert _pump.passes(statements, None, chunk) == (chunk if harmless else None)
    assert _pump.passes(statements, moved, chunk) == (chunk[:5] + moved[ident] + chunk[9:] if harmless else None)
    assert _pump.passes(statements, {ident: b"short"[:3]}, chunk) is None


def test_other_commands_and_several_at_once_do_not_pass() -> None:
    one = packet(b"\x03SELECT 1", 0)
    assert _pump.passes(None, None, one)
    assert not _pump.passes(None, None, one + one)
    assert not _pump.passes(None, None, one[:-1])
    assert not _pump.passes(None, None, packet(b"\x16SELECT 1", 0))
    assert not _pump.passes(None, None, packet(b"\x01", 0))
    assert _pump.passes(None, None, packet(b"\x0e", 0))
