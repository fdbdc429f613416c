"""Messages between Segue's own processes: a socket pair, orjson objects, each behind its length.

Wire form of one message: 4 bytes little-endian length, then a JSON object with either
`{"i": id, "op": name, "a": args}` (request), `{"op": name, "a": args}` (notification),
`{"r": id, "v": value}` (answer) or `{"r": id, "e": {"message", "mend", "kind"}}` (refusal).
When one end dies the other sees `closed` at once: that is how children know that control is gone.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from segue.errors import PeerGone, SegueError
from segue.log import get_logger

Handler = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any] | None]]

_LENGTH = struct.Struct("<I")
MAX_MESSAGE = 64 << 20
PING = "ping"
"""A request that every channel answers by itself: its process runs and reads."""
log = get_logger("ipc")


class Channel:
    """One end of a socket pair. Requests are answered by the peer's handler, each in its own task."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = asyncio.Event()
        self._loop_task = asyncio.create_task(self._read_loop(), name="ipc")

    @classmethod
    async def open(cls, sock: socket.socket, handler: Handler) -> Channel:
        """Take over one end of a connected socket pair."""
        sock.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=sock)
        return cls(reader, writer, handler)

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    async def wait_closed(self) -> None:
        await self._closed.wait()

    def close(self) -> None:
        self._loop_task.cancel()
        self._shut()

    async def request(self, op: str, /, *, limit: float | None = None, **args: Any) -> dict[str, Any]:
        """Ask the peer and wait for its answer.

        Raises SegueError with the peer's own message, PeerGone when it dies first, TimeoutError after `limit`
        seconds (a `timeout` among the arguments is the peer's to keep).
        """
        if self.closed:
            raise PeerGone(f"the process that should do '{op}' is gone")
        number = next(self._ids)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._send({"i": number, "op": op, "a": args})
            async with asyncio.timeout(limit):
                return await future
        finally:
            self._waiting.pop(number, None)

    def notify(self, op: str, /, **args: Any) -> None:
        """Tell the peer; no answer, and nothing happens when it is gone."""
        if not self.closed:
            self._send({"op": op, "a": args})

    def _send(self, message: dict[str, Any]) -> None:
        data = orjson.dumps(message)
        self._writer.write(_LENGTH.pack(len(data)) + data)

    async def _read_loop(self) -> None:
        try:
            while True:
                (length,) = _LENGTH.unpack(await self._reader.readexactly(4))
                if length > MAX_MESSAGE:
                    raise PeerGone(f"a message of {length} bytes is no message of ours")
                self._dispatch(orjson.loads(await self._reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError, OSError):
            pass
        finally:
            self._shut()

    def _dispatch(self, message: dict[str, Any]) -> None:
        if "r" in message:
            future = self._waiting.pop(message["r"], None)
            if future is None or future.done():
                return
            if "e" in message:
                error = message["e"]
                future.set_exception(SegueError(error["message"], mend=error.get("mend", "")))
            else:
                future.set_result(message["v"] or {})
            return
        if message["op"] == PING:
            self._send({"r": message["i"], "v": {}})
            return
        task = asyncio.create_task(self._serve(message), name=f"ipc:{message['op']}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, message: dict[str, Any]) -> None:
        number = message.get("i")
        answer: dict[str, Any]
        try:
            answer = {"r": number, "v": await self._handler(message["op"], message["a"])}
        except SegueError as error:
            answer = {"r": number, "e": {"message": error.message, "mend": error.mend}}
        except Exception as error:  # a bug in one handler must reach the asker, not kill the process
            log.exception("handler failed", op=message["op"])
            answer = {"r": number, "e": {"message": f"internal error in '{message['op']}': {error!r}"}}
        if number is not None and not self.closed:
            self._send(answer)

    def _shut(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(PeerGone("the process that was asked has ended"))
        self._waiting.clear()
        self._writer.close()
