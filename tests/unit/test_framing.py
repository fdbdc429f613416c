"""Cutting chunks into packets, against joining everything first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.wire.constants import MAX_PAYLOAD, ProtocolError
from segue.wire.framing import PacketCutter, lenenc, packet


@given(st.lists(st.binary(max_size=300), max_size=20), st.data())
def test_any_chunks(payloads: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(packet(p, n & 0xFF) for n, p in enumerate(payloads))
    cutter = PacketCutter()
    out: list[bytes] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        out += cutter.feed(stream[:size])
        stream = stream[size:]
    assert out == payloads
    assert cutter.rest == b""


def test_packets_of_16_mb_are_joined_and_bounded() -> None:
    full = (MAX_PAYLOAD).to_bytes(3, "little") + b"\0" + b"x" * MAX_PAYLOAD
    assert [len(p) for p in PacketCutter().feed(full + packet(b"y", 1))] == [MAX_PAYLOAD + 1]
    assert [len(p) for p in PacketCutter().feed(full + packet(b"", 1))] == [MAX_PAYLOAD]
    with pytest.raises(ProtocolError):
        PacketCutter(limit=1 << 20).feed(full)


@pytest.mark.parametrize(
    ("data", "value"),
    [(b"\0", 0), (b"\xfa", 250), (b"\xfc\xfb\0", 251), (b"\xfd\0\0\x01", 1 << 16), (b"\xfe" + b"\xff" * 8, (1 << 64) - 1)],
)
def test_lenenc(data: bytes, value: int) -> None:
    assert lenenc(b"?" + data, 1) == (value, 1 + len(data))


@pytest.mark.parametrize("data", [b"", b"\xfb", b"\xff", b"\xfc\0", b"\xfd\0\0", b"\xfe" + b"\0" * 7])
def test_malformed_lenenc(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        lenenc(data, 0)
