"""The compressed protocol towards a client, ended here: the server's hop stays uncompressed.

After the login a `CompressedHop` stands between the session and its transport: the wire's protocol on one side, on
the other what the session takes for its transport. Frames are opened one at a time, only while the session takes
them, and given to it in slices: a few bytes may unfold to 16 MB, and those to millions of commands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from segue.proxy.base import Phase
from segue.proxy.hot import Client
from segue.wire.compression import Algorithm, Codec, Continuations

if TYPE_CHECKING:
    from segue.proxy.session import Session

_SLICE: Final = 32 << 10
"""Small enough for the smallest commands in it not to keep other clients waiting."""


class CompressedHop(Client):
    """One client's hop. With TLS the frames are inside it."""

    __slots__ = ("_codec", "_continuations", "_paused", "_plain", "_scheduled", "_transport", "_write")

    def __init__(self, session: Session, algorithm: Algorithm) -> None:
        super().__init__(session)
        self._codec = Codec(algorithm)
        self._continuations = Continuations()
        self._transport: Any = session.client
        self._write: Callable[[bytes], None] = session.client_write
        self._plain = memoryview(b"")
        """What the session has not been given of the frame that was opened last."""
        self._paused = False
        self._scheduled = False

    def data_received(self, data: bytes) -> None:
        session = self.session
        if session.client_tls is not None:
            session.guarded(self._records, data)
        else:
            self._codec.feed(data)
        if not self._scheduled:
            session.guarded(self._step, b"")

    def _records(self, data: bytes) -> None:
        assert self.session.client_tls is not None
        self._codec.feed(self.session.client_tls.feed(data))

    def _step(self, _data: bytes) -> None:
        """Give the session one slice. The next one has to wait for its turn in the loop, behind other clients."""
        self._scheduled = False
        if self._paused or self._over:
            return
        if not self._plain:
            frame = self._codec.frame()
            if frame is None:
                self._transport.resume_reading()
                return
            self._plain = memoryview(frame)
        part, self._plain = self._plain[:_SLICE], self._plain[_SLICE:]
        if part and (mended := self._continuations.feed(bytes(part))):
            self.session.from_client(mended)
        self._next()

    def _next(self) -> None:
        if self._scheduled or self._paused or self._over:
            return
        if self._plain or self._codec.whole:
            self._scheduled = True
            self._transport.pause_reading()  # enough is here
            asyncio.get_running_loop().call_soon(self.session.guarded, self._step, b"")
        else:
            self._transport.resume_reading()

    @property
    def _over(self) -> bool:
        return self.session.client is not self or self.session.phase == Phase.CLOSED

    # -- what a session asks of its transport --------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if data:
            self._write(self._codec.wrap(data))

    def pause_reading(self) -> None:
        self._paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        self._next()

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
    session.client, session.client_write, session.compressed = hop, hop.write, True


