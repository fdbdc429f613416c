"""`python -m tests.fuzz.compiled [packets] [seed]`: the compiled path between real sockets whose peers misbehave.

Each round is a few sessions of one worker with real socket pairs, run twice from the same seed: through the compiled
path, and by the Python path alone. Both must write the same bytes to both peers and end in the same state; where
nothing is written anew, those bytes are the peer's own. Nothing may hang, spin or grow. Packets are right ones for the moment
mostly, others mutated, cut anywhere, several at once, of 16 MB now and then; peers read late and hang up at any time.
A failure names the seed of its round: `python -m tests.fuzz.compiled 1 SEED` shows it again.
"""

from __future__ import annotations

import asyncio
import random
import select
import socket
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from segue.proxy.hot import Server
from segue.proxy.pump import Pump, make
from segue.proxy.session import Phase, Session
from segue.wire import reply
from segue.wire.framing import packet
from tests.fuzz import rounds
from tests.fuzz.protocol import (
    EOFS,
    ERRORS,
    OKS,
    Alone,
    column,
    command,
    server_packets,
    spoilt,
)
from tests.fuzz.wires import Peer, Wire

ROUND_SECONDS = 60
TURNS = 20_000
"""More turns than any step needs: a socket that is readable for ever would show here."""
FULL = 8192
BIG = 0xFFFFFF
GREETING = packet(b"\x0a9.7.4\0\7\0\0\0" + b"12345678\0" + b"\x05\xa2\xff\2\0\xff\x1d\x15" + bytes(10) + b"123456789012\0mysql_native_password\0", 0)
CAPABILITIES = 0x1807A205
SESSION_TRACK, DEPRECATE_EOF = 1 << 23, 1 << 24
PLAIN = (b"SELECT 1", b"select a, b from t where c = 'x'", b"INSERT INTO t VALUES (1)", b"UPDATE t SET a = 1", b"BEGIN", b"COMMIT",
         b"SHOW WARNINGS", b"DELETE FROM t", b"WITH x AS (SELECT 1) SELECT * FROM x")  # fmt: skip
GOOD_OKS = (b"\0\0\0\2\0\0\0", b"\0\1\5\3\0\0\0", b"\0\xfc\1\1\0\2\0\0\0", b"\0\0\0\x22\0\1\0", b"\0\0\0\2\0\0\0\5hello",
            b"\0\0\0\2\x40\0\0\0\x0b\5\x09\x08________")  # fmt: skip


class Queue:
    """What Pump needs of a loop."""

    def __init__(self) -> None:
        self.calls: deque[tuple[Any, tuple[Any, ...]]] = deque()

    def call_soon(self, call: Any, *args: Any) -> None:
        self.calls.append((call, args))

    def add_reader(self, *_: Any) -> None: ...

    def run(self) -> None:
        for _ in range(len(self.calls)):
            call, args = self.calls.popleft()
            call(*args)


class Counting(Pump):
    """Counts how sessions come out."""

    seen: Counter[str] = Counter()

    def _out(self, session: Any, state: reply.Snapshot) -> None:
        self.seen["out"] += 1
        super()._out(session, state)


def near_and_far(dice: random.Random) -> tuple[Wire, Peer]:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, dice.choice((1 << 12, 1 << 15, 1 << 19)))
    return Wire(ours), Peer(theirs)


class Side:
    """One session with its sockets, logged in."""

    def __init__(self, worker: Alone, dice: random.Random, *, clean: bool) -> None:
        self.dice = dice
        self.session = session = Session(worker, ("192.0.2.1", 5), ("127.0.0.1", 3306))
        self.front, self.client = near_and_far(dice)
        self.back, self.server = near_and_far(dice)
        self.front.protocol = session.protocol()
        self.front.protocol.connection_made(self.front)
        self.back.protocol = Server(session)
        self.back.protocol.connection_made(self.back)
        self.clean = clean
        """Nothing is written anew: the bytes must come out as they went in."""
        self.packets = 0
        self.cursor = False
        """The last execution wanted one."""
        self.script = self._login()

    @property
    def state(self) -> int:
        pair = self.session.pair
        return self.session.tracker.state if pair is None else pair.state

    def _login(self) -> list[tuple[Peer, bytes]]:
        track = SESSION_TRACK if self.clean or self.dice.random() < 0.3 else 0
        eof = DEPRECATE_EOF if self.dice.random() < 0.5 else 0
        hello = ((CAPABILITIES | track | eof) & ~0x800).to_bytes(4, "little") + b"\0\0\0\1\x2d" + bytes(23) + b"app\0\x14" + b"x" * 20
        return [(self.server, GREETING), (self.client, packet(hello + b"shop\0mysql_native_password\0", 1)),
                (self.server, packet(OKS[0], 2)), (self.server, packet(OKS[0], 1))]  # fmt: skip

    def seen(self) -> tuple[Any, ...]:
        """What must be the same on both paths."""
        session = self.session
        heard = [(p.count, p.crc) for p in (self.client, self.server) if not p.gone]
        return session.phase, self.state, session.in_transaction, session.pin, sorted(session.mapped or ()), heard

    def moves(self) -> None:
        """As adoption.give leaves a session: its statements have other ids on its server."""
        self.session.settle()
        known = self.session.state.statements
        if known and self.session.mapped is None and not self.session._preparing:
            self.session.mapped = {number: self.dice.randbytes(4) for number in known}
            self.session.next_id = 1 << 20
            for statement in known.values():
                statement.unbound = bool(statement.parameters)

    # -- what is said ---------------------------------------------------------------------------------------------

    def step(self) -> list[tuple[Peer, bytes]]:
        """The next things to be said, each cut somewhere."""
        dice, session = self.dice, self.session
        if session.phase == Phase.CLOSED:
            return []
        busy = self.state != reply.IDLE or session.asking is not None
        if busy and dice.random() < 0.98:
            peer, payloads, first = self.server, self._reply(), 1
        else:
            peer, payloads, first = self.client, self._commands(), 0
        self.packets += len(payloads)
        odd, spoils = dice.random() < 0.05, dice.random() < 0.002
        if spoils and peer is self.client:
            self.clean = self.client.keeps = self.server.keeps = False
        data = b"".join(
            packet(spoilt(p, dice) if spoils and dice.random() < 0.3 else p, dice.randrange(256) if odd else n + first & 255) if len(p) < BIG
            else b"\xff\xff\xff" + bytes((n + first & 255,)) + p[:BIG] + packet(p[BIG:], n + 1)
            for n, p in enumerate(payloads)
        )  # fmt: skip
        if spoils and dice.random() < 0.5:
            data = spoilt(data[:4000], dice) + data[4000:]
        pieces = []
        whole = 0.98 if peer is self.client else 0.75
        while data:
            at = len(data) if dice.random() < whole else dice.randint(1, len(data))
            pieces.append((peer, data[:at]))
            data = data[at:]
        return pieces

    def _commands(self) -> list[bytes]:
        dice = self.dice
        if self.state == reply.INFILE:
            return [dice.randbytes(30), b""]
        return [self._one() for _ in range(dice.choice((1,) * 40 + (2, 5)))]

    def _one(self) -> bytes:
        dice = self.dice
        kind = dice.random()
        known = self.session.state.statements
        if kind < 0.5 or (kind < 0.97 and self.state != reply.IDLE):
            text = dice.choice(PLAIN)
            if dice.random() < 0.01:
                text += b" /* " + b"x" * dice.choice((300, 9000, 70_000, 400_000)) + b"*/"
            elif dice.random() < 0.001:
                text = b"INSERT INTO t VALUES ('" + b"x" * (BIG - 26 + dice.choice((-1, 0, 1, 2, 3)))
            return b"\x03" + text
        if kind < 0.9 and known:
            number, statement = dice.choice(list(known.items()))
            self.cursor = dice.random() < 0.03
            head = b"\x17" + number + bytes((self.cursor,)) + b"\1\0\0\0"
            if not statement.parameters:
                return head
            bitmap = bytes((statement.parameters + 7) // 8)
            types = b"\1" + b"\3\0" * statement.parameters if dice.random() < 0.4 else b"\0"
            return head + bitmap + types + b"\5\0\0\0" * statement.parameters
        if kind < 0.95:
            return b"\x0e"
        if kind < 0.97 or not known:
            return b"\x16" + dice.choice(PLAIN[:4])
        if self.clean:
            return dice.choice((b"\x03SET @a = 5", b"\x02shop", b"\x03SELECT GET_LOCK('a', 1)", b"\x09"))
        return command(dice)

    def _reply(self) -> list[bytes]:
        dice, session = self.dice, self.session
        tracker = session.tracker
        if session.asking is None and session.phase == Phase.COMMAND and self.state == reply.FIRST and dice.random() < 0.97:
            return self._result(eof=not tracker.deprecate_eof)
        if session.asking is None and self.state == reply.GENERIC and dice.random() < 0.97:
            return [dice.choice(GOOD_OKS)]
        if session.asking is None and self.state == reply.ROWS and dice.random() < 0.97:
            return [self._end(eof=not tracker.deprecate_eof)]
        view = SimpleNamespace(asking=session.asking, phase=session.phase,
                               tracker=SimpleNamespace(state=self.state, deprecate_eof=tracker.deprecate_eof))  # fmt: skip
        return server_packets(view, dice)  # type: ignore[arg-type]

    def _end(self, *, eof: bool) -> bytes:
        if self.dice.random() < 0.02:
            return self.dice.choice((*EOFS, *ERRORS))
        return b"\xfe\0\0\2\0" if eof else b"\xfe" + self.dice.choice(GOOD_OKS)[1:]

    def _result(self, *, eof: bool) -> list[bytes]:
        dice = self.dice
        if dice.random() < 0.3:
            return [dice.choice(GOOD_OKS)]
        if dice.random() < 0.03:
            return [dice.choice(ERRORS)]
        columns = dice.choice((1, 1, 2, 3, 3, 5, 250, 300)) if dice.random() < 0.05 else dice.choice((1, 2, 3))
        head = bytes((columns,)) if columns < 251 else b"\xfc" + columns.to_bytes(2, "little")
        kinds = (b"", b"\xfb", b"\1a", b"\x0f" + b"r" * dice.randrange(1, 90), b"\1b")
        rows = dice.choices(kinds, k=dice.choice((0, 1, 3, 10, 60, 300)))
        if dice.random() < 0.02:
            rows.append(b"\xfd\0\0\2" + bytes(dice.choice((70_000, 300_000, 600_000))))
        if dice.random() < 0.002:
            rows.append(dice.choice((b"\xfe", b"\xfd")) + b"\xfe" * (BIG - 1 + dice.choice((-1, 0, 1, 7, 60))))
        after = dice.choice(EOFS[:4]) if dice.random() < 0.05 else EOFS[0]
        cursor, self.cursor = self.cursor, False
        if cursor or (eof and after[3] & 0x40):  # no rows yet
            return [head, *[column(dice)] * columns, b"\xfe\0\0\x42\0" + (b"" if eof else b"\0\0")]
        more = dice.random() < 0.03
        end = (b"\xfe\0\0\x0a\0" if eof else b"\xfe\0\0\x0a\0\0\0") if more else self._end(eof=eof)
        one = column(dice)
        return [head, *[one] * columns, *([after] if eof else []), *rows, end, *([GOOD_OKS[0]] if more else [])]

    def check(self) -> None:
        """What came out is what went in."""
        for source, into in ((self.client, self.server), (self.server, self.client)):
            if self.clean:
                size = len(into.heard)
                assert source.said[:size] == into.heard, "bytes came out that did not go in"
                del source.said[:size]
            into.heard.clear()


class Round:
    """Some sessions of one worker, compiled or not."""

    def __init__(self, worker: Alone, seed: str, *, compiled: bool) -> None:
        self.queue = Queue()
        self.worker = worker
        self.pump = Counting(self.queue) if compiled else None  # type: ignore[arg-type]
        self.worker.pump = self.pump
        self.dice = random.Random(seed)
        self.holds = self.dice.random() < 0.5
        self.sides = [
            Side(self.worker, random.Random(f"{seed}/{n}"), clean=not self.holds and self.dice.random() < 0.7)
            for n in range(self.dice.choice((1, 2, 3)))
        ]
        self.trace: list[tuple[Any, ...]] = []

    def _turn(self, *, reads: bool) -> bool:
        moved = False
        if self.pump is not None:
            fd = self.pump._pump.fileno()
            for _ in range(TURNS):
                if not select.select([fd], [], [], 0)[0]:
                    break
                self.pump._ready()
                moved = True
            else:
                raise AssertionError("the compiled path spins")
        for side in self.sides:
            for one in (side.front, side.back):
                moved |= one.turn()
            for peer in (side.client, side.server):
                moved |= peer.turn(reads=reads)
        moved |= bool(self.queue.calls)
        self.queue.run()
        return moved

    async def deliver(self, size: int) -> None:
        """Until nothing moves: where there is much, first with peers that read nothing, so that sockets fill up."""
        for reads in (False, True) if size > FULL else (True,):
            for _ in range(TURNS):
                if not self._turn(reads=reads):
                    if not any(s.session._kept and s.session._paused and s.session.phase == Phase.COMMAND for s in self.sides):
                        break
                    await asyncio.sleep(0)
                    if not self._turn(reads=reads):
                        break
            else:
                raise AssertionError("it does not come to rest")

    async def run(self) -> int:
        for number in range(4):
            for side in self.sides:
                peer, data = side.script[number]
                peer.say(data)
            await self.deliver(0)
        for side in self.sides:
            assert side.session.phase == Phase.COMMAND, "the login is right"
            side.client.keeps = side.server.keeps = side.clean
        for _ in range(self.dice.choice((20, 100, 300))):
            if all(s.session.phase == Phase.CLOSED for s in self.sides):
                break
            await self._step()
        return await self._end()

    async def _step(self) -> None:
        if self.holds and self.dice.random() < 0.01:
            worker = self.worker
            worker.holding = worker.watching = not worker.holding
            for side in self.sides:
                if side.session.phase != Phase.CLOSED:
                    (side.session.try_hold if worker.holding else side.session.release)()
        pending = [side.step() for side in self.sides]
        while any(pending):
            size = 0
            for side, pieces in zip(self.sides, pending, strict=True):
                if pieces:
                    peer, data = pieces.pop(0)
                    peer.say(data)
                    size = max(size, len(data))
                    if side.dice.random() < 0.0015:
                        peer.turn(reads=False)
                        side.dice.choice((side.client, side.server)).hang_up()
            await self.deliver(size)
        for side in self.sides:
            if not side.clean and side.dice.random() < 0.02:
                side.moves()
            self.trace.append(side.seen())
            side.check()

    async def _end(self) -> int:
        self.worker.holding = self.worker.watching = False
        for side in self.sides:
            if side.session.phase != Phase.CLOSED:
                side.session.release()
            side.client.hang_up()
        await self.deliver(0)
        for side in self.sides:
            assert side.session.phase == Phase.CLOSED, "it ends with its client"
            assert side.front.lost
            assert side.back.lost
            if not side.server.gone:
                side.server.hang_up()
        assert not self.worker.sessions
        if self.pump is not None:
            assert self.pump.status()["armed"] == 0
            assert not self.pump._inside
            Counting.seen["commands"] += self.pump.status()["commands"]
        return sum(s.packets for s in self.sides)


async def one_round(workers: tuple[Alone, Alone], seed: str) -> int:
    """The same sessions both ways; how many packets the compiled path's were given."""
    compiled, pure = Round(workers[0], seed, compiled=True), Round(workers[1], seed, compiled=False)
    packets = await compiled.run()
    await pure.run()
    for number, (one, other) in enumerate(zip(compiled.trace, pure.trace, strict=True)):
        assert one == other, f"at {number}: {one} compiled, {other} not"
    return packets


def _begin() -> Callable[[str], Awaitable[int]]:
    workers = Alone(), Alone()

    async def one(seed: str) -> int:
        return await one_round(workers, seed)

    return one


TARGET = rounds.Target(_begin, "both paths the same", ROUND_SECONDS, look_every=50)


if __name__ == "__main__":
    if make(Queue()) is None:  # type: ignore[arg-type]
        print("there is no compiled path here")
    else:
        rounds.main(TARGET)
        print(dict(Counting.seen))
