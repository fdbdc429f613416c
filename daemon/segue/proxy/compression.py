"""The compressed protocol towards a client, ended here: the server's hop stays uncompressed.

After the login a `CompressedHop` stands between the session and its transport: the wire's protocol on one side, on
the other what the session takes for its transport. Frames are opened one at a time and only while the session takes
them, since a few bytes may unfold to 16 MB.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from segue.proxy.hot import Client
from segue.wire.compression import Algorithm, Codec, Continuations

if TYPE_CHECKING:
    from segue.proxy.session import Session


class CompressedHop(Client):
    """One client's hop. With TLS the frames are inside it."""

    __slots__ = ("_codec", "_continuations", "_paused", "_pumping", "_transport", "_write")

    def __init__(self, session: Session, algorithm: Algorithm) -> None:
        super().__init__(session)
        self._codec = Codec(algorithm)
        self._continuations = Continuations()
        self._transport: Any = session.client
        self._write: Callable[[bytes], None] = session.client_write
        self._paused = False
        self._pumping = False

    def data_received(self, data: bytes) -> None:
        session = self.session
        if session.client_tls is not None:
            session.guarded(self._records, data)
        else:
            self._codec.feed(data)
        session.guarded(self._pump, b"")

    def _records(self, data: bytes) -> None:
        assert self.session.client_tls is not None
        self._codec.feed(self.session.client_tls.feed(data))

    def _pump(self, _data: bytes = b"") -> None:
        """Give the session frame after frame until there is none, or it wants no more for now."""
        self._pumping = True
        try:
            while not self._paused and self.session.client is self:
                plain = self._codec.frame()
                if plain is None:
                    return
                if plain := self._continuations.feed(plain):
                    self.session.from_client(plain)
        finally:
            self._pumping = False

    # -- what a session asks of its transport --------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if data:
            self._write(self._codec.wrap(data))

    def pause_reading(self) -> None:
        self._paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        self._transport.resume_reading()
        if self._codec.buffered and not self._pumping:
            asyncio.get_running_loop().call_soon(self.session.guarded, self._pump, b"")

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def get_write_buffer_size(self) -> int:
        return int(self._transport.get_write_buffer_size())

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)


def compress(session: Session, algorithm: Algorithm) -> None:
    """From now on this client's hop is compressed. The OK that ends the login has gone out before, as it is."""
    hop = CompressedHop(session, algorithm)
    session.client.set_protocol(hop)
    session.client, session.client_write = hop, hop.write


