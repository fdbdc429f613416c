"""A TCP proxy with faults: connections are cut or stalled by who opened them, or stopped at a statement.

Who it is comes from the program name among the connection attributes of the login, so TLS must be off behind it.
It runs on a loop in a thread of its own; the methods may be called from any other thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

_PROGRAMS = {b"segue-control": "control", b"segue-apply": "replicator", b"segue-dump": "replicator",
             b"segue-replicate": "replicator"}  # fmt: skip
_CHUNK = 65536


@dataclass
class Trap:
    """Stops the first connection of `kind` whose statement matches, before it goes on or before its reply does."""

    kind: str
    pattern: re.Pattern[bytes]
    before: bool
    sprung: threading.Event = field(default_factory=threading.Event)
    passed: asyncio.Event = field(default_factory=asyncio.Event)


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], None]) -> None:
        """Run `function` there and wait for its end."""

        async def run() -> None:
            function()

        asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)


@dataclass(eq=False)
class _Pair:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    kind: str = "client"
    held_reply: Trap | None = None


class FaultProxy:
    """One listening port in front of one address."""

    host = "127.0.0.1"

    def __init__(self, loop: Loop, host: str, port: int) -> None:
        self._loop = loop
        self._to = host, port
        self._pairs: set[_Pair] = set()
        self._down: set[str] = set()
        self._stalled: set[str] = set()
        self._moving = asyncio.Event()
        self._moving.set()
        self._trap: Trap | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        future = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._accept, self.host, 0), loop.loop)
        self._server = future.result(10)
        self.port = int(self._server.sockets[0].getsockname()[1])

    # -- from other threads --------------------------------------------------------------------------------

    def cut(self, kind: str) -> None:
        """End connections of this kind (or "all") with a reset, and refuse new ones until `heal`."""

        def do() -> None:
            self._down.add(kind)
            for pair in list(self._pairs):
                if self._is(pair, self._down):
                    self._abort(pair)

        self._loop.call(do)

    def stall(self, kind: str) -> None:
        """Connections of this kind stay open and carry nothing until `heal`."""
        self._loop.call(lambda: self._stalled.add(kind))

    def heal(self) -> None:
        def do() -> None:
            self._down.clear()
            self._stalled.clear()
            self._moving.set()
            self._moving = asyncio.Event()
            self._moving.set()
            if self._trap is not None:
                self._trap.passed.set()
                self._trap = None

        self._loop.call(do)

    def set_trap(self, trap: Trap) -> None:
        self._loop.call(lambda: setattr(self, "_trap", trap))

    def pass_trap(self, trap: Trap) -> None:
        self._loop.call(trap.passed.set)

    def close(self) -> None:
        def do() -> None:
            self._server.close()
            for pair in list(self._pairs):
                self._abort(pair)

        self._loop.call(do)

    # -- on the loop ---------------------------------------------------------------------------------------

    @staticmethod
    def _is(pair: _Pair, kinds: set[str]) -> bool:
        return bool(kinds) and (pair.kind in kinds or "all" in kinds)

    @staticmethod
    def _abort(pair: _Pair) -> None:
        for writer in (pair.client, pair.server):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if "all" in self._down:
            writer.transport.abort()
            return
        try:
            theirs, server = await asyncio.open_connection(*self._to)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(writer, server)
        self._pairs.add(pair)
        await asyncio.gather(self._pump(pair, reader, server, up=True), self._pump(pair, theirs, writer, up=False))
        self._pairs.discard(pair)

    async def _pump(
        self, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool
    ) -> None:
        first = up
        try:
            while data := await reader.read(_CHUNK):
                if first:
                    first = False
                    pair.kind = next((kind for name, kind in _PROGRAMS.items() if name in data), "client")
                    if self._is(pair, self._down):
                        self._abort(pair)
                        return
                if up:
                    await self._meet(pair, data)
                elif pair.held_reply is not None:
                    trap, pair.held_reply = pair.held_reply, None
                    trap.sprung.set()
                    await trap.passed.wait()
                while self._is(pair, self._stalled):
                    await asyncio.sleep(0.02)
                writer.write(data)
                await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            with contextlib.suppress(OSError):
                if self._is(pair, self._stalled):
                    await asyncio.sleep(0)
                writer.close()

    async def _meet(self, pair: _Pair, data: bytes) -> None:
        trap = self._trap
        if trap is None or trap.kind != pair.kind or not trap.pattern.search(data):
            return
        self._trap = None
        if trap.before:
            trap.sprung.set()
            await trap.passed.wait()
        else:
            pair.held_reply = trap
