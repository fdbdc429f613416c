"""Both ends of a real socket pair: a transport of asyncio's kind that moves when told to, and a peer that misbehaves."""

from __future__ import annotations

import contextlib
import socket
import zlib
from typing import Any

HIGH, LOW = 65536, 16384
READ = 1 << 18


class Wire:
    """A transport of asyncio's kind over a real socket, which moves when told to."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.protocol: Any = None
        self._buffer = bytearray()
        self._paused = self._full = self._closing = self.lost = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.sock if name == "socket" else default

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def write(self, data: bytes) -> None:
        if self._closing:
            return
        self._buffer += data
        self._flush()
        if len(self._buffer) > HIGH and not self._full:
            self._full = True
            self.protocol.pause_writing()

    def _flush(self) -> bool:
        before = len(self._buffer)
        try:
            while self._buffer:
                del self._buffer[: self.sock.send(self._buffer[:READ])]
        except BlockingIOError:
            pass
        except OSError:
            self.abort()
        if self._full and len(self._buffer) <= LOW and not self._closing:
            self._full = False
            self.protocol.resume_writing()
        return len(self._buffer) != before

    def close(self) -> None:
        self._closing = True

    def abort(self) -> None:
        self._buffer.clear()
        self._closing = True

    def turn(self) -> bool:
        """What a loop would do now; False when there is nothing."""
        if self.lost:
            return False
        moved = self._flush()
        if self._closing:
            if not self._buffer:
                self.lost = True
                self.protocol.connection_lost(None)
                self.sock.close()
            return moved or self.lost
        if self._paused:
            return moved
        try:
            data = self.sock.recv(READ)
        except BlockingIOError:
            return moved
        except OSError:
            data = b""
        if data:
            self.protocol.data_received(data)
        else:
            self.close()
        return True


class Peer:
    """The far end of a socket pair: what it has to say and what it heard."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.crc = self.count = 0
        """Of all that it heard."""
        self.keeps = False
        self.said, self.heard = bytearray(), bytearray()
        """The bytes themselves, where it keeps them, as far as they were not compared yet."""
        self._queue = bytearray()
        self.gone = False

    def say(self, data: bytes) -> None:
        self._queue += data

    def turn(self, *, reads: bool) -> bool:
        if self.gone:
            return False
        moved = False
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while self._queue:
                sent = self.sock.send(self._queue[:READ])
                if self.keeps:
                    self.said += self._queue[:sent]
                del self._queue[:sent]
                moved = True
        if reads:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                while data := self.sock.recv(READ):
                    self.crc, self.count = zlib.crc32(data, self.crc), self.count + len(data)
                    if self.keeps:
                        self.heard += data
                    moved = True
        return moved

    def hang_up(self) -> None:
        self.gone = True
        self.sock.close()
