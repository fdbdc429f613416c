"""What the server's own tables say about sessions, asked through control, which may read them; many at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from segue.proxy.asked import Facts

if TYPE_CHECKING:
    from segue.proxy.worker import Worker


class FactFinder:
    """Collects what is asked while a question is under way into the next one."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._waiting: dict[int, asyncio.Future[Facts]] = {}
        self._busy = False

    async def of(self, connection: int) -> Facts:
        """About one server connection. Raises SegueError when control cannot ask."""
        future: asyncio.Future[Facts] = asyncio.get_running_loop().create_future()
        self._waiting[connection] = future
        if not self._busy:
            self._busy = True
            self._worker.spawn(self._ask())
        return await future

    async def _ask(self) -> None:
        await asyncio.sleep(0)  # what comes in this turn of the loop goes along
        while self._waiting:
            batch, self._waiting = self._waiting, {}
            try:
                answer = await self._worker.ask_control("facts", ids=list(batch))
            except Exception as error:
                for future in batch.values():
                    if not future.done():
                        future.set_exception(error)
                continue
            for connection, future in batch.items():
                if not future.done():
                    future.set_result(answer.get(str(connection), {}))
        self._busy = False
