"""The compressed protocol: frames around the stream of packets, with zlib or zstd, after the login.

A frame is three bytes of length, one of sequence, three of the length before compression (0: not compressed), then
the data. Packets may begin and end anywhere in it. The sequence counts frames of both directions from the client's
first of a command. Source: MySQL Source Code Documentation, "Compression".
"""

from __future__ import annotations

import zlib
from typing import Final, Literal

import zstandard

from segue.wire.constants import CLIENT_COMPRESS, CLIENT_ZSTD_COMPRESSION, MAX_PAYLOAD, ProtocolError

Algorithm = Literal["zlib", "zstd"]
CAPABILITY: Final[dict[Algorithm, int]] = {"zlib": CLIENT_COMPRESS, "zstd": CLIENT_ZSTD_COMPRESSION}
_HEADER: Final = 7
_WORTH_IT: Final = 50
_ZLIB_LEVEL: Final = 1
_ZSTD_LEVEL: Final = 1
"""The worker's loop waits while it compresses, so the fast ones; the level that a client asks for is its own."""


def offered(algorithms: tuple[Algorithm, ...]) -> int:
    """The capability flags that offer these."""
    return sum(CAPABILITY[a] for a in algorithms)


def chosen(capabilities: int) -> Algorithm | None:
    """What a client that answered with these flags (already masked by what was offered) will use."""
    for algorithm, flag in CAPABILITY.items():
        if capabilities & flag:
            return algorithm
    return None


class Codec:
    """One connection's frames, both ways."""

    __slots__ = ("_algorithm", "_data", "_sequence", "_squeeze")

    def __init__(self, algorithm: Algorithm) -> None:
        self._algorithm = algorithm
        self._data = bytearray()
        self._sequence = 0
        self._squeeze = zstandard.ZstdCompressor(_ZSTD_LEVEL) if algorithm == "zstd" else None

    def feed(self, chunk: bytes) -> None:
        """Take in bytes of the peer; `frame` gives them back plain, a frame at a time."""
        self._data += chunk

    @property
    def buffered(self) -> int:
        return len(self._data)

    @property
    def whole(self) -> bool:
        """Whether `frame` has one."""
        data = self._data
        return len(data) >= _HEADER and len(data) >= _HEADER + int.from_bytes(data[0:3], "little")

    def frame(self) -> bytes | None:
        """What the next whole frame holds (16 MB - 1 at most), None when there is none.

        Raises ProtocolError for a frame that does not hold what its header says.
        """
        data = self._data
        if len(data) < _HEADER:
            return None
        end = _HEADER + int.from_bytes(data[0:3], "little")
        if len(data) < end:
            return None
        plain_length = int.from_bytes(data[4:7], "little")
        self._sequence = data[3] + 1 & 0xFF
        body = bytes(data[_HEADER:end])
        del data[:end]
        if plain_length == 0:
            return body
        plain = _unzstd(body, plain_length) if self._algorithm == "zstd" else _unzlib(body, plain_length)
        if len(plain) != plain_length:
            raise ProtocolError("a compressed frame is not as long as it says")
        return plain

    def wrap(self, data: bytes) -> bytes:
        """These bytes in frames."""
        if len(data) <= MAX_PAYLOAD:
            return self._wrap(data)
        return b"".join(self._wrap(data[at : at + MAX_PAYLOAD]) for at in range(0, len(data), MAX_PAYLOAD))

    def _wrap(self, data: bytes) -> bytes:
        body, plain_length = data, 0
        if len(data) >= _WORTH_IT:
            squeezed = self._squeeze.compress(data) if self._squeeze else zlib.compress(data, _ZLIB_LEVEL)
            if len(squeezed) < len(data):
                body, plain_length = squeezed, len(data)
        sequence, self._sequence = self._sequence, self._sequence + 1 & 0xFF
        return len(body).to_bytes(3, "little") + bytes((sequence,)) + plain_length.to_bytes(3, "little") + body


class Continuations:
    """Gives the packets that continue one of 16 MB - 1 the sequence numbers they must have.

    In the compressed protocol nobody looks at those inside the frames, and MariaDB's client library leaves them zero
    there; a server that is spoken to uncompressed refuses that (error 1156).
    """

    __slots__ = ("_head", "_left", "_next")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._next: int | None = None

    def feed(self, data: bytes) -> bytes:
        """The same bytes, mended; the start of a packet's header stays here until it is whole."""
        if self._head:
            data, self._head = self._head + data, b""
        mended: bytearray | None = None
        pos, end = 0, len(data)
        while True:
            taken = min(self._left, end - pos)
            pos += taken
            self._left -= taken
            if end - pos < 4:
                self._head = data[pos:]
                return bytes(data[:pos] if mended is None else mended[:pos])
            length, sequence = int.from_bytes(data[pos : pos + 3], "little"), data[pos + 3]
            if self._next is not None and sequence != self._next:
                if mended is None:
                    mended = bytearray(data)
                sequence = mended[pos + 3] = self._next
            self._next = sequence + 1 & 0xFF if length == MAX_PAYLOAD else None
            self._left = length
            pos += 4


def _unzlib(body: bytes, length: int) -> bytes:
    """Never more than `length` bytes, whatever the data would unfold to."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(body, length)
        if not stream.eof:  # its end may still be to read when the last byte of output is there
            plain += stream.decompress(stream.unconsumed_tail, 1)
    except zlib.error as error:
        raise ProtocolError(f"a compressed frame cannot be read: {error}") from None
    if not stream.eof or stream.unused_data:
        raise ProtocolError("a compressed frame is not as long as it says")
    return plain


def _unzstd(body: bytes, length: int) -> bytes:
    """The same. A content size in zstd's own header is checked first, since that much would be allocated."""
    try:
        size = zstandard.get_frame_parameters(body).content_size
        if size not in (length, zstandard.CONTENTSIZE_UNKNOWN):
            raise ProtocolError("a compressed frame is not as long as it says")
        return zstandard.ZstdDecompressor().decompress(body, max_output_size=length, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ProtocolError(f"a compressed frame cannot be read: {error}") from None
