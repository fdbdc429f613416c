"""The compressed protocol's frames: any data, any cut, any algorithm; what is spoilt is refused and never unfolds."""

from __future__ import annotations

import functools
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from segue.wire.compression import Algorithm, Codec, Continuations, chosen, offered
from segue.wire.constants import CLIENT_COMPRESS, CLIENT_ZSTD_COMPRESSION, MAX_PAYLOAD, ProtocolError
from segue.wire.framing import packet

ALGORITHMS: tuple[Algorithm, ...] = ("zlib", "zstd")
DATA = st.one_of(st.binary(max_size=300), st.builds(lambda b, n: b * n, st.binary(max_size=20), st.integers(0, 2000)))


def frame(body: bytes, plain_length: int, sequence: int = 0) -> bytes:
    return len(body).to_bytes(3, "little") + bytes((sequence,)) + plain_length.to_bytes(3, "little") + body


def everything(codec: Codec) -> bytes:
    out = b""
    while (plain := codec.frame()) is not None:
        out += plain
    return out


@given(st.sampled_from(ALGORITHMS), st.lists(DATA, max_size=6), st.integers(1, 50))
def test_there_and_back(algorithm: Algorithm, parts: list[bytes], cut: int) -> None:
    one, two = Codec(algorithm), Codec(algorithm)
    wire = b"".join(one.wrap(p) for p in parts)
    out = b""
    for at in range(0, len(wire), cut):
        two.feed(wire[at : at + cut])
        out += everything(two)
    assert out == b"".join(parts)
    assert two.buffered == 0


def test_what_a_server_sends_is_read() -> None:
    """The manual's two frames: one compressed, one too small for it; then the answer's sequence goes on."""
    codec = Codec("zlib")
    text = packet(b"\x03select " + b"0123456789" * 10, 0)
    codec.feed(frame(zlib.compress(text), len(text)) + frame(packet(b"\x0e", 0), 0, 4))
    assert everything(codec) == text + packet(b"\x0e", 0)
    answer = codec.wrap(packet(b"\0\0\0\2\0\0\0", 1))
    assert answer[:7] == b"\x0b\0\0\5\0\0\0"
    assert codec.wrap(b"x")[3] == 6


def test_more_than_a_frame_holds() -> None:
    data = b"a" * (MAX_PAYLOAD + 5)
    for algorithm in ALGORITHMS:
        one, two = Codec(algorithm), Codec(algorithm)
        two.feed(one.wrap(data))
        assert everything(two) == data


@functools.cache
def bomb(algorithm: Algorithm) -> bytes:
    """20 MB of zeros, without a size in front."""
    if algorithm == "zlib":
        return zlib.compress(bytes(20 << 20), 1)
    stream = zstandard.ZstdCompressor(write_content_size=False)
    return stream.compress(bytes(20 << 20))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("claimed", [1, 100, MAX_PAYLOAD])
def test_a_bomb(algorithm: Algorithm, claimed: int) -> None:
    codec = Codec(algorithm)
    codec.feed(frame(bomb(algorithm), claimed))
    with pytest.raises(ProtocolError):
        codec.frame()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("length", [10, 99, 101, 4000])
def test_a_wrong_length(algorithm: Algorithm, length: int) -> None:
    body = zlib.compress(b"a" * 100) if algorithm == "zlib" else zstandard.compress(b"a" * 100)
    for spoilt in (frame(body, length), frame(body[:-3], 100), frame(body + b"x", 100), frame(b"", 100)):
        codec = Codec(algorithm)
        codec.feed(spoilt)
        with pytest.raises(ProtocolError):
            codec.frame()
    codec = Codec(algorithm)
    codec.feed(frame(body, 100))
    assert codec.frame() == b"a" * 100


def test_algorithms() -> None:
    both = CLIENT_COMPRESS | CLIENT_ZSTD_COMPRESSION
    assert offered(ALGORITHMS) == both
    assert offered(()) == 0
    assert chosen(both) == "zlib"  # as the servers choose
    assert chosen(CLIENT_ZSTD_COMPRESSION) == "zstd"
    assert chosen(0) is None


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(1, 9))
def test_continuations(kinds: list[int], cut: int) -> None:
    """With packets of 3 bytes for 16 MB - 1: what goes on is numbered on, whatever its own number says."""
    import segue.wire.compression as module

    whole, wanted = b"", b""
    sequence: int | None = None
    for number, kind in enumerate(kinds):
        length = 3 if kind > 2 else kind
        given_as = 0 if sequence is not None else number * 7 & 0xFF
        right = given_as if sequence is None else sequence
        body = bytes(range(length))
        whole += packet(body, given_as)
        wanted += packet(body, right)
        sequence = right + 1 & 0xFF if length == 3 else None
    old, module.MAX_PAYLOAD = module.MAX_PAYLOAD, 3  # type: ignore[misc]
    try:
        mender = Continuations()
        assert b"".join(mender.feed(whole[at : at + cut]) for at in range(0, len(whole), cut)) == wanted
    finally:
        module.MAX_PAYLOAD = old  # type: ignore[misc]
