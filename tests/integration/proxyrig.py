"""A proxy worker process driven as control drives it, for tests and benchmarks."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from segue.ipc import Channel
from segue.proxy.certificate import ensure_certificate


class ProxyRig:
    """One worker on a free port of loopback."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.port = 0
        self.answers: dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {}
        """What control says to the worker's requests, by their names; nothing to others."""

    async def start(self, server: Any, name: str = "blue", tls: str = "preferred", tracked: str = "*") -> ProxyRig:
        """`tracked` is the list of session variables whose changes are reported, as control asks the server for it."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = listener.getsockname()[1]
        ours, theirs = socket.socketpair()
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "segue.proxy", "--fd", str(theirs.fileno()),
            pass_fds=(theirs.fileno(), listener.fileno()),
        )
        theirs.close()

        async def answer(op: str, args: dict[str, Any]) -> dict[str, Any] | None:
            return await self.answers[op](args) if op in self.answers else None

        self.channel = await Channel.open(ours, answer)
        cert, key = ensure_certificate(self.state_dir)
        await self.channel.request(
            "start", limit=10, listen_fd=listener.fileno(), worker=0, active=self.side(server, name, tls, tracked),
            tls_cert=str(cert), tls_key=str(key), max_pause=10,
        )
        listener.close()
        return self

    @staticmethod
    def side(server: Any, name: str, tls: str = "preferred", tracked: str = "*") -> dict[str, Any]:
        return {"name": name, "host": server.host, "port": server.port, "user": "x", "tls": tls, "tracked": tracked}

    async def ask(self, op: str, **args: Any) -> dict[str, Any]:
        return await self.channel.request(op, limit=20, **args)

    async def stop(self) -> None:
        self.channel.close()
        await asyncio.wait_for(self.process.wait(), 10)
