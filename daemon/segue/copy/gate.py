"""Whose turn it is: the copy's or the stream's. Nothing is applied between a chunk's reading and its commit.

Both are many small pieces of work, and each asks before a piece. A piece whose outcome is not known, since its
connection broke, keeps the other side out until it is known.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from segue.errors import SegueError


class GateEnded(SegueError):  # noqa: N818 - names what happened
    """The seed is over: the stream has to begin again without it."""


class Gate:
    """Closed for both at first."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._copy = False
        self._stream = False
        self._chunks = 0
        self._applying = 0
        self._ended = False
        self.anew: set[tuple[str, str]] = set()
        """Tables that a DDL in the stream has changed while they were copied."""
        self._unsure = False
        """What the last connection of the stream was doing when it broke may still be committed."""

    @contextlib.asynccontextmanager
    async def applying(self) -> AsyncIterator[None]:
        """Around each commit of the stream. Raises GateEnded, with nothing done, when there will be no turn."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._stream or self._ended)
            if self._ended:
                raise GateEnded("the seed is over")
            self._applying += 1
        try:
            yield
        except BaseException:
            self._unsure = True
            raise
        finally:
            self._applying -= 1
            await self._tell()

    @contextlib.asynccontextmanager
    async def copying(self) -> AsyncIterator[None]:
        """Around each chunk, from before its reading until its outcome is known."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._copy)
            self._chunks += 1
        try:
            yield
        finally:
            self._chunks -= 1
            await self._tell()

    async def streams_turn(self, limit: float) -> None:
        """Until it is the stream's turn, or `limit` seconds have passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit), self._changed:
                await self._changed.wait_for(lambda: self._stream or self._ended)

    async def stream_is_known(self) -> None:
        """A new connection of the stream has waited for the end of the one before."""
        self._unsure = False
        await self._tell()

    async def give_to_copy(self) -> None:
        """Close it for the stream; the copy may begin when this returns and `begin_copy` is called."""
        self._stream = False
        async with self._changed:
            await self._changed.wait_for(lambda: not self._applying and not self._unsure)

    async def begin_copy(self) -> None:
        assert not self._stream
        assert not self._applying
        self._copy = True
        await self._tell()

    async def give_to_stream(self) -> None:
        """Close it for the copy, wait for chunks under way, open it for the stream."""
        self._copy = False
        async with self._changed:
            await self._changed.wait_for(lambda: not self._chunks)
        self._stream = True
        await self._tell()

    async def end(self) -> None:
        """Nobody takes turns any more."""
        self._ended = True
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
