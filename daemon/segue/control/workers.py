"""The proxy workers as one: they share a port, are asked together, and start anew in the present state."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from segue.config import Proxy
from segue.errors import ConfigError, PeerGone, SegueError
from segue.ipc import Channel
from segue.proxy.limits import shared_memory
from segue.supervisor import START_LIMIT, Child
from segue.switchover.server import Server

STATUS_LIMIT = 2.0
_QUESTIONS = frozenset({"status", "sessions"})
_COUNTS = ("clients", "in_transaction", "held", "dropped", "relocated", "accepted")


class Workers:
    """`serving` is the side that clients are sent to: a worker that starts anew inside a switchover must go
    where the others went."""

    def __init__(self, proxy: Proxy, certificate: tuple[Path, Path], serving: Server) -> None:
        self._proxy = proxy
        self._certificate = certificate
        self._serving = serving
        self.holding = False
        self.answer_facts: Callable[[list[int]], Awaitable[dict[str, Any]]] | None = None
        """What control can tell workers about connections of the active server."""
        self.common = (-1, -1)
        """Capabilities, and MariaDB's further ones, that clients may be offered: what both sides have."""
        self._listeners = listen(proxy.listen, proxy.workers)
        self._ledger = shared_memory(proxy.workers)
        self._children = [
            Child(
                f"proxy-{n}", "segue.proxy",
                lambda channel, number=n: self._begin(channel, number),  # type: ignore[misc]
                self._asked,
                pass_fds=(listener.fileno(), self._ledger),
            )
            for n, listener in enumerate(self._listeners)
        ]  # fmt: skip

    async def start(self, limit: float = START_LIMIT) -> None:
        """Until all of them serve. Raises SegueError when they do not come up."""
        for child in self._children:
            child.start()
        try:
            async with asyncio.timeout(limit):
                for child in self._children:
                    await child.ready.wait()
        except TimeoutError:
            raise SegueError(f"the proxy workers did not come up within {limit:g} s",
                             mend="See the log before this; is the machine overloaded?") from None  # fmt: skip

    async def stop(self, drain: float) -> None:
        """Clients leave at safe points, for `drain` seconds at most; then the port is closed."""
        with contextlib.suppress(SegueError, TimeoutError):
            await self.ask("stop", drain + 2.0, timeout=drain)
        for child in self._children:
            await child.stop()
        for listener in self._listeners:
            listener.close()
        os.close(self._ledger)

    async def ask(self, op: str, limit: float, /, **args: Any) -> list[dict[str, Any]]:
        """Ask all workers at once. One that died has no clients to hold; it starts in the present state.

        A question is not worth an error because one worker is too busy to answer it; an order is.
        """

        async def one(worker: Child) -> dict[str, Any] | None:
            try:
                return await worker.request(op, limit=limit, **args)
            except PeerGone:
                return None
            except TimeoutError:
                if op in _QUESTIONS:
                    return None
                raise

        answers = await asyncio.gather(*(one(w) for w in self._children))
        empty = {"held": 0, "waiting": []}
        return [a if a is not None else dict(empty) for a in answers]

    async def hold(self, timeout: float, *, close_pinned: bool = False) -> dict[str, Any]:
        """Hold all clients at safe points: `held`, and `waiting` with those that did not get there in time.
        With `close_pinned` those that only what they carry kept from it are held too."""
        self.holding = True
        answers = await self.ask("hold", timeout + 2.0, timeout=timeout, close_pinned=close_pinned)
        return {
            "held": sum(int(a["held"]) for a in answers),
            "waiting": [s for a in answers for s in a["waiting"]],
        }

    async def release(self, active: Server) -> dict[str, Any]:
        """Let them go on, on `active`: how many were `relocated` and `dropped`."""
        self.holding, self._serving = False, active
        answers = await self.ask("release", 30.0, active=active.backend())
        total: dict[str, Any] = {key: sum(int(a.get(key, 0)) for a in answers) for key in ("dropped", "relocated")}
        return total | {"lost": [s for a in answers for s in a.get("lost", ())]}

    async def redirect(self, active: Server) -> None:
        """The same side is reached otherwise now."""
        self._serving = active
        await self.ask("backend", 10.0, active=active.backend())

    async def reconfigure(self, proxy: Proxy) -> None:
        """Limits that changed hold from now on; who is in already stays."""
        self._proxy = proxy
        await self.ask("limits", 10.0, limits=proxy.limits())

    def _asked(self, op: str, args: dict[str, Any]) -> Awaitable[dict[str, Any] | None] | None:
        """What workers ask."""
        if op == "facts" and self.answer_facts is not None:
            return self.answer_facts([int(n) for n in args["ids"]])
        if op == "backend_id":
            number = int(args["id"])
            owner = (number >> 24) & 0x3F
            if owner < len(self._children):
                return self._children[owner].request("backend_id", limit=5.0, id=number)
        return None

    async def sessions(self) -> list[dict[str, Any]]:
        """Every client session, as its worker describes it."""
        return [s for answer in await self.ask("sessions", STATUS_LIMIT) for s in answer.get("sessions", ())]

    async def status(self) -> dict[str, Any]:
        total = dict.fromkeys(_COUNTS, 0)
        workers = []
        for answer in await self.ask("status", STATUS_LIMIT):
            workers.append(answer)
            for key in total:
                total[key] += int(answer.get(key, 0))
        counts = {kind: _sums(w.get(kind, {}) for w in workers) for kind in ("refused", "timed_out")}
        pinned = [s for w in workers for s in w.pop("pinned", ())]
        return total | counts | {
            "pinned": [{k: s[k] for k in ("client", "user", "connection_id", "server_connection_id", "pinned")} for s in pinned],
            "listen": self._proxy.listen, "limits": self._proxy.limits(), "workers": workers,
        }  # fmt: skip

    async def _begin(self, channel: Channel, number: int) -> None:
        cert, key = self._certificate
        await channel.request(
            "start", limit=START_LIMIT, listen_fd=self._listeners[number].fileno(), worker=number,
            active=self._serving.backend(), tls_cert=str(cert), tls_key=str(key),
            max_pause=self._proxy.max_pause, held=self.holding, limits=self._proxy.limits(), ledger_fd=self._ledger,
            common=self.common,
        )  # fmt: skip


def _sums(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(total)


def listen(address: str, workers: int, key: str = "proxy.listen") -> list[socket.socket]:
    """One listening socket per worker on the shared port, held here so that a worker's death closes no port.

    Raises ConfigError when the port is taken. With SO_REUSEPORT a second daemon could share it unnoticed, so
    the port is first taken without.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listeners: list[socket.socket] = []
    try:
        probe = socket.socket(family, socket.SOCK_STREAM)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, int(port)))
        probe.listen(1)
        probe.close()
        for _ in range(workers):
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # inherited: finds clients whose host is gone
            listener.bind((host, int(port)))
            listener.listen(4096)
            listener.setblocking(False)
            listeners.append(listener)
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise ConfigError(
            f"cannot listen on {key} = {address}: {error.strerror}",
            mend="Stop what uses that port, or give another one",
        ) from None
    return listeners
