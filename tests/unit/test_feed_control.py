"""Control's handle on the replicator."""

from __future__ import annotations

import asyncio

import pytest

from segue.control.feed import FeedControl
from segue.errors import PeerGone


async def test_waiting_for_a_replicator_that_died_lets_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end is noticed by a task of the same loop, which must get its turn."""
    feed = FeedControl("test")
    feed._child.ready.set()
    asked = 0

    async def request(*_: object, **__: object) -> dict[str, object]:
        nonlocal asked
        asked += 1
        if asked < 50:
            raise PeerGone("gone")
        return {"ms": 0}

    monkeypatch.setattr(feed._child, "request", request)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    assert await feed.drain("p", 5.0) == {"ms": 0}
    task.cancel()
    assert turns > 49
