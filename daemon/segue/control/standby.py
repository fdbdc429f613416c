"""The port on the standby, for looking at it before a switchover: one more proxy worker, whose server is the standby.

It is a process of its own, so that what is tried on it takes nothing from the clients' workers. Its sessions are not
held and not moved. When the roles change they end with an error before the standby becomes writable, and later ones
go to the new standby.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any

from segue.config import Address, Proxy
from segue.control.workers import STATUS_LIMIT, listen
from segue.errors import SegueError
from segue.ipc import Channel
from segue.log import get_logger
from segue.supervisor import START_LIMIT, Child
from segue.switchover.server import Server

log = get_logger("control")


class StandbyPort:
    """`standby` is the side that a worker that starts now is pointed at."""

    def __init__(self, address: Address, proxy: Proxy, certificate: tuple[Path, Path], standby: Server) -> None:
        self._address = address
        self._proxy = proxy
        self._certificate = certificate
        self._standby = standby
        self._listener: socket.socket = listen(address, 1, key="proxy.standby_listen")[0]
        self._child: Child | None = None

    def start(self, standby: Server) -> None:
        self._standby = standby
        self._child = Child("proxy-standby", "segue.proxy", self._begin, pass_fds=(self._listener.fileno(),))
        self._child.start()

    async def stop(self) -> None:
        if self._child is not None:
            await self._child.stop()
        self._listener.close()

    async def turn(self, standby: Server) -> None:
        """End all sessions; later ones go to `standby`. A worker that does not answer is ended, its sessions with it."""
        self._standby = standby
        if self._child is None:
            return
        try:
            await self._child.request("turn", limit=2.0, active=standby.backend())
        except (SegueError, TimeoutError) as error:
            log.warning("the standby's port did not answer, ending its worker", error=str(error))
            await self._child.stop(0.5)
            self.start(standby)

    async def reconfigure(self, proxy: Proxy) -> None:
        self._proxy = proxy
        if self._child is not None:
            with contextlib.suppress(SegueError, TimeoutError):
                await self._child.request("limits", limit=2.0, limits=proxy.limits())

    async def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        if self._child is not None:
            with contextlib.suppress(SegueError, TimeoutError):
                answer = await self._child.request("status", limit=STATUS_LIMIT)
        return {"listen": self._address, "side": self._standby.label, "clients": int(answer.get("clients", 0))}

    async def _begin(self, channel: Channel) -> None:
        cert, key = self._certificate
        await channel.request(
            "start", limit=START_LIMIT, listen_fd=self._listener.fileno(), worker=63, active=self._standby.backend(),
            tls_cert=str(cert), tls_key=str(key), max_pause=self._proxy.max_pause, held=False,
            limits=self._proxy.limits(),
        )  # fmt: skip
