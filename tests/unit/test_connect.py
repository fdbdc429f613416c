"""Connecting to a server that is not there."""

from __future__ import annotations

import asyncio
import socket

from segue.config import Endpoint
from segue.errors import ConnectionLost
from segue.sql import connect


async def test_a_cancellation_is_never_lost_in_connecting() -> None:
    """Whenever it comes, be it with the refusal itself: who cancels a task waits for its end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kinds = []
    for turns in range(60):
        task = asyncio.create_task(connect(Endpoint(host="127.0.0.1", port=port, user="nobody")))
        for _ in range(turns):
            await asyncio.sleep(0)
        ended = task.done()
        if not ended:
            task.cancel()
        await asyncio.wait({task})
        kinds.append((ended, task.cancelled()))
        if ended:
            assert isinstance(task.exception(), ConnectionLost)
        else:
            assert task.cancelled(), turns
    assert (False, True) in kinds
