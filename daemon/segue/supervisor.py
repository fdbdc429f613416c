"""Child processes of control: started with one end of a socket pair, started again when they die.

A child ends by itself when its channel closes, so none outlives control. One that hangs (stopped, deadlocked) is asked
for a sign of life all the time, and ended and started again when it gives none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from segue.errors import PeerGone, SegueError
from segue.ipc import PING, Channel
from segue.log import get_logger

log = get_logger("supervisor")
START_LIMIT = 60.0
"""Seconds in which a new process must have begun: Python and its imports alone take ten on a machine that is starved, and
one that is ended for being slow only makes that worse."""
ASK_EVERY = 1.0
"""Seconds between two questions whether it lives, and of one tick of waiting for the answer."""
HUNG_IDLE = 10
"""Ticks without an answer, and without the child using any processor time, after which it counts as hung."""
HUNG_BUSY = 120
"""The same while it computes: a value of many megabytes may take long, and an endless loop has to end too."""
_BACKOFF = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)


class Child:
    """One kept-alive child. `on_start` is called with each new process before `ready` is set.

    `on_notice` hears what the child tells; a coroutine's result answers what it asks.
    """

    def __init__(
        self,
        name: str,
        module: str,
        on_start: Callable[[Channel], Awaitable[None]],
        on_notice: Callable[[str, dict[str, Any]], Awaitable[dict[str, Any] | None] | None] | None = None,
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        self.name = name
        self.module = module
        self.restarts = 0
        self.pid: int | None = None
        self.ready = asyncio.Event()
        self._on_start = on_start
        self._on_notice = on_notice
        self._pass_fds = pass_fds
        self._channel: Channel | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_alive(), name=f"child:{self.name}")

    async def request(self, op: str, /, *, limit: float | None = None, **args: Any) -> dict[str, Any]:
        """Ask the child. Raises PeerGone while there is none."""
        if self._channel is None or self._channel.closed:
            raise PeerGone(f"the {self.name} process is not running; it is being started again")
        return await self._channel.request(op, limit=limit, **args)

    async def stop(self, limit: float = 5.0) -> None:
        """End the child: by closing its channel, then by SIGKILL."""
        self._stopping = True
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            try:
                async with asyncio.timeout(limit):
                    await self._process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def replace(self) -> None:
        """End the present process, which does not answer; another one is started as after any death."""
        process, channel = self._process, self._channel
        if process is None:
            return
        log.warning("child does not answer, ending it", child=self.name, pid=process.pid)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if channel is not None:
            channel.close()

    async def _keep_alive(self) -> None:
        failures = 0
        while not self._stopping:
            began = asyncio.get_running_loop().time()
            try:
                code = await self._run_once()
            except Exception:  # whatever a start runs into, the next try is what helps
                log.exception("child could not be started", child=self.name)
                code = -1
            self.ready.clear()
            self.pid = None
            if self._stopping:
                return
            failures = 0 if asyncio.get_running_loop().time() - began > 10 else failures + 1
            wait = _BACKOFF[min(failures, len(_BACKOFF) - 1)]
            self.restarts += 1
            log.warning("child ended, starting it again", child=self.name, code=code, after_seconds=wait)
            await asyncio.sleep(wait)

    async def _run_once(self) -> int:
        ours, theirs = socket.socketpair()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self.module, "--fd", str(theirs.fileno()),
            pass_fds=(theirs.fileno(), *self._pass_fds), stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()
        self._process, self.pid = process, process.pid
        self._channel = await Channel.open(ours, self._handle)
        watcher: asyncio.Task[None] | None = None
        try:
            await self._on_start(self._channel)
            self.ready.set()
            watcher = asyncio.create_task(self._watch(self._channel, process.pid), name=f"watch:{self.name}")
            await self._channel.wait_closed()
        finally:
            if watcher is not None:
                watcher.cancel()
            self.ready.clear()
            self._channel.close()
            if not self._stopping:
                # A child without a channel ends by itself; one that hangs must not be there twice.
                try:
                    async with asyncio.timeout(2.0):
                        await process.wait()
                except TimeoutError:
                    process.kill()
        return await process.wait()

    async def _watch(self, channel: Channel, pid: int) -> None:
        """Until the channel closes; a child that hangs is killed, which closes it.

        Silence is counted in ticks of our own loop: a machine or a control that was stopped has not waited.
        """
        while True:
            await asyncio.sleep(ASK_EVERY)
            asked = asyncio.create_task(channel.request(PING))
            silent = idle = 0
            used = processor_time(pid)
            try:
                while not asked.done():
                    await asyncio.wait({asked}, timeout=ASK_EVERY)
                    now = processor_time(pid)
                    silent, idle, used = silent + 1, 0 if now != used else idle + 1, now
                    if not asked.done() and (idle >= HUNG_IDLE or silent >= HUNG_BUSY):
                        log.warning("child hangs, ending it", child=self.name, pid=pid, silent_seconds=silent)
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                        return
            finally:
                asked.cancel()
                with contextlib.suppress(asyncio.CancelledError, SegueError):
                    await asked

    async def _handle(self, op: str, args: dict[str, Any]) -> dict[str, Any] | None:
        answer = self._on_notice(op, args) if self._on_notice is not None else None
        return await answer if answer is not None else None


def processor_time(pid: int) -> int:
    """Clock ticks of processor time that a process has used; 0 when it is gone (proc(5), stat, fields 14 and 15)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])
