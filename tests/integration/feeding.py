"""A feed between two lab servers in this process, without the daemon around it: for tests of what replication does."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

from lab import Server
from segue.binlog.positions import FilePosition, GtidSet, MariaGtid
from segue.config import Endpoint, Replicate
from segue.flavour import detect
from segue.replicate import progress
from segue.replicate.feed import Feed
from segue.replicate.order import Order
from segue.roles import mapping_from
from segue.sql import connect

LIMIT = 60.0


class Feeding:
    """Begins at the source's present position. `start` and `stop` (in order) or `cut` (not) at will."""

    def __init__(self, source: Server, target: Server, **replicate: Any) -> None:
        self.source, self.target = source, target
        sides = [Endpoint(host=s.host, port=s.port, user="root") for s in (source, target)]
        mapping = mapping_from("blue", Replicate.model_validate({"schemas": ["shop"]} | replicate))
        self.order = Order("feeding", sides[0], "blue", sides[1], "green", mapping, "stop", 1)
        self.error: Exception | None = None
        self._thread: threading.Thread | None = None
        self._feed: Feed | None = None
        asyncio.run(self._begin())

    async def _begin(self) -> None:
        here = await connect(self.order.source, where="blue")
        there = await connect(self.order.target, where="green")
        flavour = await detect(here)
        await progress.ensure(there)
        identity = await flavour.identify(here)
        await progress.initialise(there, "feeding", identity.source_id, await flavour.position(here), 1)
        await here.close()
        await there.close()

    def start(self) -> None:
        self.error = None
        self._feed = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except Exception as error:
            self.error = error

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._feed = Feed(self.order, lambda: None)
        self._task = asyncio.ensure_future(self._feed.run())
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def cut(self) -> None:
        """As if the process had died: connections closed at once, whatever was under way."""
        self._loop.call_soon_threadsafe(self._task.cancel)
        if self._thread is not None:
            self._thread.join(LIMIT)
            assert not self._thread.is_alive()
        self._thread = None

    def stop(self) -> None:
        feed, thread = self._feed, self._thread
        if thread is not None and feed is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself, and its loop with it
                self._loop.call_soon_threadsafe(feed.end)
            thread.join(LIMIT)
            assert not thread.is_alive()
        self._thread = None

    @property
    def applied(self) -> GtidSet | MariaGtid | FilePosition | None:
        return self._feed.applied if self._feed is not None else None

    @property
    def stopped(self) -> str:
        """Why it waits, or why it ended."""
        if self.error is not None:
            return str(self.error)
        return str(self._feed.stopped or "") if self._feed is not None else ""

    def wait(self, condition: Callable[[], bool]) -> None:
        """Until it holds. Raises AssertionError when it does not come to be, or the feed ended with an error."""
        deadline = time.monotonic() + LIMIT
        while not condition():
            if self.error is not None:
                raise AssertionError(f"the feed ended: {self.error!r}") from self.error
            assert time.monotonic() < deadline, self.stopped
            time.sleep(0.02)

    def same(self, table: str) -> None:
        """Until the table's checksum is the source's."""
        wanted = self.source.sql(f"CHECKSUM TABLE {table}")
        assert wanted[0][1] is not None
        self.wait(lambda: self.target.sql(f"CHECKSUM TABLE {table}") == wanted)
