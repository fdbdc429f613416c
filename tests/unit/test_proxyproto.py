"""PROXY protocol headers: the specification's cases, every cut, any bytes."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from segue.wire.constants import ProtocolError
from segue.wire.proxyproto import LOCAL, SIGNATURE, Header, build, looks_like_header, parse

FOUR = Header(("192.0.2.7", 56324), ("10.0.0.1", 3306))
SIX = Header(("2001:db8::7", 1), ("::1", 65535))
TCP4 = SIGNATURE + bytes.fromhex("2111000c c0000207 0a000001 dc04 0cea")
GOOD: list[tuple[bytes, Header]] = [
    (TCP4, FOUR),
    (SIGNATURE + bytes.fromhex("21110013 c0000207 0a000001 dc04 0cea 03 0004 a9b87e8f"), FOUR),  # a CRC32C TLV
    (SIGNATURE + bytes.fromhex("2121 0024 20010db8000000000000000000000007 00000000000000000000000000000001 0001 ffff"), SIX),
    (SIGNATURE + bytes.fromhex("20000000"), LOCAL),
    (SIGNATURE + bytes.fromhex("2011000c c0000207 0a000001 dc04 0cea"), LOCAL),
    (b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 3306\r\n", FOUR),
    (b"PROXY TCP6 2001:db8::7 ::1 1 65535\r\n", SIX),
    (b"PROXY UNKNOWN\r\n", LOCAL),
    (b"PROXY UNKNOWN ffff::1 ffff::1 1 1\r\n", LOCAL),
]  # fmt: skip
BAD = [
    b"GET / HTTP/1.1\r\n",
    b"\x20\0\0\1",  # a MySQL client's answer
    SIGNATURE[:11] + b"\r",
    SIGNATURE + bytes.fromhex("1111000c"),  # version 1 in binary
    SIGNATURE + bytes.fromhex("2211000c"),  # a command that does not exist
    SIGNATURE + bytes.fromhex("2112000c c0000207 0a000001 dc04 0cea"),  # UDP
    SIGNATURE + bytes.fromhex("21000000"),  # PROXY without addresses
    SIGNATURE + bytes.fromhex("2131 00d8") + bytes(216),  # a Unix socket
    SIGNATURE + bytes.fromhex("2111000b c0000207 0a000001 dc04 0c"),  # shorter than its addresses
    SIGNATURE + bytes.fromhex("2111ffff"),  # longer than anybody sends
    b"PROXY TCP4 192.0.2.7 10.0.0.1 56324\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 3306 1\r\n",
    b"PROXY TCP4 192.0.2.256 10.0.0.1 56324 3306\r\n",
    b"PROXY TCP4 ::1 ::1 56324 3306\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 3306\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 -1 3306\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 \xb2 3306\r\n",
    b"PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n",
    b"PROXY  TCP4 192.0.2.7 10.0.0.1 1 2\r\n",
    b"PROXY \r\n",
    b"PROXY " + b"x" * 200,
]  # fmt: skip


@pytest.mark.parametrize(("data", "header"), GOOD)
def test_good(data: bytes, header: Header) -> None:
    assert parse(data) == (header, len(data))
    assert parse(data + b"rest") == (header, len(data))
    for cut in range(len(data)):
        assert parse(data[:cut]) is None
    assert looks_like_header(data)


@pytest.mark.parametrize("data", BAD)
def test_bad(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(data)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 65535), st.integers(0, 65535))
def test_built_is_parsed(one: object, two: object, port: int, other: int) -> None:
    header = Header((str(one), port), (str(two), other))
    assert header.source is not None
    assert header.destination is not None
    assert parse(build(header.source, header.destination)) == (header, 28)


def test_build() -> None:
    assert build(("192.0.2.7", 56324), ("10.0.0.1", 3306)) == TCP4
    assert parse(build(("192.0.2.7", 1), ("::1", 2))) == (LOCAL, 16), "two families cannot be said"
    assert parse(build(("", 0), ("", 0))) == (LOCAL, 16)


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=40).map(lambda b: SIGNATURE + b),
                 st.binary(max_size=120).map(lambda b: b"PROXY " + b)))  # fmt: skip
@example(b"")
def test_any_bytes(data: bytes) -> None:
    try:
        found = parse(data)
    except ProtocolError:
        return
    assert found is None or 0 < found[1] <= len(data)
