"""Sessions in the compiled hot path: put in when plain, taken out for everything else.

While a session is inside, its transports read nothing and its tracker stands still; `disarm` brings the tracker up to
date. So whoever looks at a session or touches its transports takes it out first. Without the compiled module (no
compiler at install, or SEGUE_PURE=1) `make` gives None and `hot` does the same in Python.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from segue.log import get_logger
from segue.proxy import hot
from segue.wire import reply

if TYPE_CHECKING:
    from segue.proxy.base import SessionBase
    from segue.proxy.session import Session

try:
    from segue.proxy import _pump
except ImportError:  # no compiler where it was installed
    _pump = None  # type: ignore[assignment]

log = get_logger("proxy")
_TRIES = 4


def make(loop: asyncio.AbstractEventLoop) -> Pump | None:
    """The worker's pump, where there is one."""
    if _pump is None or os.environ.get("SEGUE_PURE") == "1":
        return None
    return Pump(loop)


class Pump:
    """All sessions of one worker that are inside."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._pump = _pump.Pump()
        self._loop = loop
        self._inside: set[SessionBase] = set()
        loop.add_reader(self._pump.fileno(), self._ready)

    def status(self) -> dict[str, int]:
        return {"armed": self._pump.armed, "commands": self._pump.commands}

    def arm_soon(self, session: Session) -> None:
        """Put a plain session in, once what was written to its transports is out."""
        session.streak = 0
        self._loop.call_soon(self._arm, session, _TRIES)

    def _arm(self, session: Session, tries: int) -> None:
        tracker = session.tracker
        if not session.fast or not session.armable or session.watched or session.pair is not None:
            return
        if session.worker.watching or session.renumbers:
            return
        if tracker.state > reply.GENERIC or tracker.pending or not tracker.between_packets:
            return
        client, server = session.client, session.server
        if client is None or server is None or client.is_closing() or server.is_closing():
            return
        if client.get_write_buffer_size() or server.get_write_buffer_size():
            if tries:  # written at the end of the loop's turn
                self._loop.call_soon(self._arm, session, tries - 1)
            return
        client.pause_reading()
        server.pause_reading()
        session.pair = self._pump.arm(
            session, _descriptor(client), _descriptor(server), tracker.snapshot(),
            tracker.deprecate_eof, tracker.strip, session.state.statements, session.mapped,
        )  # fmt: skip
        self._inside.add(session)

    def disarm(self, session: SessionBase) -> None:
        """Take a session out: its tracker is up to date and its transports read again."""
        if session.pair is not None:
            self._out(session, self._pump.disarm(session.pair))

    def disarm_all(self) -> None:
        for session in list(self._inside):
            self.disarm(session)

    def _out(self, session: SessionBase, state: reply.Snapshot) -> None:
        session.pair = None
        self._inside.discard(session)
        session.tracker.restore(state)
        for transport in (session.client, session.server):
            if transport is not None and not transport.is_closing():
                transport.resume_reading()

    def _ready(self) -> None:
        for session, kind, data, state in self._pump.run():
            try:
                self._out(session, state)
                _take(session, kind, data)
            except Exception:  # the others of this turn still have theirs to get
                log.exception("a session is closed over a bug", client=session.address)
                session.close_client()


def _take(session: Session, kind: bytes, data: bytes) -> None:
    """What the compiled path left of a session that came out."""
    match kind:
        case b"C":
            hot.client_chunk(session, data)
        case b"S":
            hot.server_chunk(session, data)
        case b"c":
            session.to_client(data)
            if session.tracker.state == reply.IDLE:
                session.reply_ended()
        case b"s":
            session.to_server(data)
        case b"X":
            pass  # its transport reads the end by itself
        case _:
            raise AssertionError(kind)


def _descriptor(transport: Any) -> int:
    return int(transport.get_extra_info("socket").fileno())
