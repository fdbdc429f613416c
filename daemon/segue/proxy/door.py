"""The way in: limits, the PROXY header of a load balancer, and the clocks of those who do not come or go.

A connection is first an `Entrance`; once it is known who it is and that it may come in, a session takes over its
transport. Clients who are waited for in vain (`connect_timeout`) or say nothing for long (`idle_timeout`) are found
by sweeps and by asking the kernel, so that the hot path counts and stamps nothing.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from typing import TYPE_CHECKING, Any, Final

from segue.log import get_logger
from segue.proxy.limits import Address, Ledger, Limits, show
from segue.proxy.session import Phase, Session
from segue.wire.constants import ProtocolError
from segue.wire.framing import error_payload, packet
from segue.wire.proxyproto import parse

if TYPE_CHECKING:
    from segue.proxy.worker import Worker

log = get_logger("proxy")
_SWEEP_SECONDS: Final = 0.25
_SLICE: Final = 200
_QUIET_SECONDS: Final = 1.0
_SAYS_DENIED: Final = frozenset({1045, 1698, 3118, 3955, 4151})
"""Access denied, denied without a password, account locked (MySQL), locked for failed logins, locked (MariaDB)."""
# linux/tcp.h, struct tcp_info: tcpi_last_data_sent, tcpi_last_ack_sent, tcpi_last_data_recv, in ms.
_TCP_LAST: Final = struct.Struct("<44xIII")


class Door:
    """One worker's entrance."""

    def __init__(self, worker: Worker, limits: Limits, ledger: Ledger) -> None:
        self.limits = limits
        self._worker = worker
        self._ledger = ledger
        self._entering: dict[Session, float] = {}
        self._released_at = 0.0
        self.refused = {"max_clients": 0, "failed_logins": 0, "proxy_protocol": 0}
        self.timed_out = {"connect": 0, "idle": 0}
        self._said: dict[str, tuple[float, int]] = {}

    # -- coming in -----------------------------------------------------------------------------------------

    def entrance(self) -> Entrance:
        return Entrance(self)

    def admit(self, transport: Any, client: Address, local: Address) -> asyncio.Protocol | None:
        """Give the connection to a session of its own, or turn it away with an error; then None."""
        limits = self.limits
        if limits.max_clients and self._ledger.all_clients() >= limits.max_clients:
            text = f"too many clients (proxy.max_clients = {limits.max_clients})"
            self.turn_away(transport, client, "max_clients", 1040, text)
            return None
        if limits.max_failed_logins:
            failures, left = self._ledger.failures(client[0], time.monotonic(), limits.failed_login_window)
            if failures >= limits.max_failed_logins:
                text = f"{failures} failed logins from {client[0]}, try again in {left:.0f} s"
                self.turn_away(transport, client, "failed_logins", 1129, text)
                return None
        session = Session(self._worker, client, local)
        protocol = session.protocol()
        transport.set_protocol(protocol)
        self._entering[session] = time.monotonic()
        protocol.connection_made(transport)
        return protocol

    def turn_away(self, transport: Any, client: Address, reason: str, code: int, text: str) -> None:
        self.refused[reason] += 1
        self._say(f"client refused: {text}", reason, client=show(client))
        transport.write(packet(error_payload(code, "", f"segue: {text}"), 0))
        transport.close()

    def _say(self, event: str, reason: str, **facts: Any) -> None:
        """One line a second and reason, the others counted: an attack must not fill the disk."""
        now = time.monotonic()
        last, more = self._said.get(reason, (-_QUIET_SECONDS, 0))
        if now - last < _QUIET_SECONDS:
            self._said[reason] = (last, more + 1)
            return
        self._said[reason] = (now, 0)
        log.warning(event, reason=reason, not_logged_before=more, **facts)

    # -- the sessions tell ---------------------------------------------------------------------------------

    def count(self, clients: int) -> None:
        self._ledger.clients(clients)

    def entered(self, session: Session) -> None:
        """Logged in, or another user now."""
        self._entering.pop(session, None)
        log.debug("client logged in", client=session.address, user=session.user)

    def gone(self, session: Session) -> None:
        self._entering.pop(session, None)

    def login_refused(self, session: Session, payload: bytes) -> None:
        """The server's ERR to a login. What is not about who the client is (too many connections) does not count."""
        limits = self.limits
        if not limits.max_failed_logins or int.from_bytes(payload[1:3], "little") not in _SAYS_DENIED:
            return
        host = session.peer[0]
        failures = self._ledger.failed(host, time.monotonic(), limits.failed_login_window)
        if failures >= limits.max_failed_logins:
            log.warning("too many failed logins, refusing this address", client=host, user=session.user,
                        failures=failures, window_seconds=limits.failed_login_window)  # fmt: skip

    # -- clocks --------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Runs as long as the worker."""
        idle_at = 0.0
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = time.monotonic()
            if self._worker.holding:
                self._released_at = now  # who is held cannot hurry
                continue
            self._sweep_entering(now)
            if self.limits.idle_timeout and now >= idle_at:
                idle_at = now + min(self.limits.idle_timeout / 4, 30.0)
                await self._sweep_idle()

    def _sweep_entering(self, now: float) -> None:
        limit = self.limits.connect_timeout
        late = []
        for session, since in self._entering.items():  # in the order they came
            if now - max(since, self._released_at) < limit:
                break
            late.append(session)
        for session in late:
            self.timed_out["connect"] += 1
            self._say("client did not log in in time", "connect_timeout", client=session.address)
            session.dismiss(1159, "08S01", f"login not finished within {limit:g} s (proxy.connect_timeout)")

    async def _sweep_idle(self) -> None:
        for number, session in enumerate(list(self._worker.sessions)):
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
            if self._worker.holding:
                return
            if session.phase == Phase.COMMAND and session.at_rest:
                seconds = quiet_seconds(session.client)
                if seconds is not None and seconds >= self.limits.idle_timeout:
                    self.timed_out["idle"] += 1
                    self._say("client was idle for too long", "idle_timeout", client=session.address,
                              user=session.user, seconds=round(seconds, 1))  # fmt: skip
                    text = f"closed after {seconds:.0f} s without a command (proxy.idle_timeout)"
                    session.dismiss(4031, "HY000", text)

    def status(self) -> dict[str, Any]:
        return {"refused": dict(self.refused), "timed_out": dict(self.timed_out)}


class Entrance(asyncio.Protocol):
    """A connection of which nothing is known yet."""

    __slots__ = ("_data", "_door", "_late", "_peer", "_transport")

    def __init__(self, door: Door) -> None:
        self._door = door
        self._data = b""
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        peer = transport.get_extra_info("peername") or ("", 0)
        self._peer: Address = (peer[0], peer[1])
        if self._door.limits.trusts(self._peer[0]):
            seconds = self._door.limits.connect_timeout
            self._late = asyncio.get_running_loop().call_later(seconds, self._no_header)
        else:
            self._door.admit(transport, self._peer, self._local())

    def _local(self) -> Address:
        name = self._transport.get_extra_info("sockname") or ("", 0)
        return name[0], name[1]

    def data_received(self, data: bytes) -> None:
        if self._late is None:
            return  # turned away
        self._data += data
        try:
            found = parse(self._data)
        except ProtocolError as error:
            self._refuse(str(error))
            return
        if found is None:
            return
        self._late.cancel()
        self._late = None
        header, end = found
        client, local = header.source or self._peer, header.destination or self._local()
        protocol = self._door.admit(self._transport, client, local)
        if protocol is not None and len(self._data) > end:
            protocol.data_received(self._data[end:])

    def _no_header(self) -> None:
        self._refuse(f"no whole header within {self._door.limits.connect_timeout:g} s")

    def _refuse(self, why: str) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
        text = f"{why}; this address is in proxy.proxy_protocol_from and must send a PROXY protocol header first"
        self._door.turn_away(self._transport, self._peer, "proxy_protocol", 1043, text)

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._late is not None:
            self._late.cancel()


def quiet_seconds(transport: Any) -> float | None:
    """Since a client's connection last carried data, either way, by the kernel's account."""
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is None:
        return None
    try:
        sent, _, received = _TCP_LAST.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_LAST.size))
    except (OSError, struct.error):
        return None
    return float(min(sent, received)) / 1000.0
