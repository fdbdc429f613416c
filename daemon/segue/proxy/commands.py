"""The client's commands, framed: cut at their boundaries, noted, rewritten where a move made that necessary."""

from __future__ import annotations

import asyncio

from segue.proxy.base import Phase, SessionBase
from segue.proxy.look import Effect, Kind, look, numbered
from segue.proxy.state import Statement
from segue.wire import reply
from segue.wire.constants import (
    COM_CHANGE_USER,
    COM_PROCESS_KILL,
    COM_QUERY,
    COM_RESET_CONNECTION,
    COM_SET_OPTION,
    COM_STMT_BULK_EXECUTE,
    COM_STMT_CLOSE,
    COM_STMT_EXECUTE,
    COM_STMT_FETCH,
    COM_STMT_PREPARE,
    COM_STMT_RESET,
    COM_STMT_SEND_LONG_DATA,
    MAX_PAYLOAD,
    ProtocolError,
)
from segue.wire.framing import packet
from segue.wire.statements import bulk_types, execute_types, flag_offset, with_types

_STATEMENT_COMMANDS = frozenset(
    {COM_STMT_EXECUTE, COM_STMT_BULK_EXECUTE, COM_STMT_FETCH, COM_STMT_SEND_LONG_DATA, COM_STMT_CLOSE, COM_STMT_RESET}
)
_WHOLE = frozenset({COM_QUERY, COM_STMT_PREPARE, COM_STMT_EXECUTE, COM_STMT_BULK_EXECUTE, COM_PROCESS_KILL,
                    COM_SET_OPTION, COM_CHANGE_USER})  # fmt: skip
_WHOLE_LIMIT = 1 << 20
_TURN = 256
"""Commands of one client in a row: a flood of them must not keep the others waiting."""
_LAST = b"\xff\xff\xff\xff"
"""MariaDB's "the statement prepared last" in place of an id."""


class Commands(SessionBase):
    """The half of a session that faces the client."""

    __slots__ = ()

    def commands(self, data: bytes) -> None:
        """Cut at command boundaries, so that a hold can stop a pipelining client between two."""
        self._kept = b""
        tracker = self.tracker
        pos, end = 0, len(data)
        turn = 0
        while pos < end:
            if self._skip:
                taken = min(self._skip, end - pos)
                self.to_server(data[pos : pos + taken] if pos or taken < end else data)
                self._skip -= taken
                pos += taken
                continue
            if tracker.state == reply.INFILE:
                pos = self._file_data(data, pos)
                continue
            if end - pos < 5 or self._must_wait():
                self._kept = data[pos:]
                break
            turn += 1
            if turn > _TURN:
                self._kept = data[pos:]
                self.pause_client()
                asyncio.get_running_loop().call_soon(self._next_turn)
                break
            length = int.from_bytes(data[pos : pos + 3], "little")
            stop = pos + 4 + length
            if length == 0 and not self._infile_rest:
                raise ProtocolError("an empty command")
            if data[pos + 4] == COM_QUERY and stop <= end and self._to_resolve(data[pos + 5 : stop]):
                self._kept = data[pos:]
                break
            if stop > end and length <= _WHOLE_LIMIT and data[pos + 4] in _WHOLE and not self._infile_rest:
                self._kept = data[pos:]  # it must be seen whole
                break
            if length == MAX_PAYLOAD and not self._infile_rest:
                self._begin(data[pos : min(stop, end)], length)
                self._infile_rest = b"\xff"  # its continuation is no command
                whole = None
            elif self._infile_rest:
                self._infile_rest = b"" if length < MAX_PAYLOAD else b"\xff"
                whole = None
            else:
                whole = self._begin(data[pos : min(stop, end)], length)
            if self.phase == Phase.LOGIN:  # COM_CHANGE_USER: the rest belongs to its exchange
                rest = data[stop:]
                if rest and self._login is not None:
                    self._login.from_client(rest)
                return
            self._skip = max(0, stop - end)
            self.to_server(whole if whole is not None else data[pos:stop] if pos or stop < end else data)
            pos = min(stop, end)
        if self.tracker.state == reply.IDLE and self.asking is None and not self._kept:
            self.sent_unanswered()
        self.may_be_fast()

    def _next_turn(self) -> None:
        if self.held or self.phase != Phase.COMMAND:
            return  # who is held goes on when released
        self.resume_client()
        kept, self._kept = self._kept, b""
        if kept:
            self.guarded(self.commands, kept)

    def _must_wait(self) -> bool:
        """Held at this boundary; or a reply, or our own question, has to end first."""
        if self.asking is not None:
            return True
        idle = self.tracker.state == reply.IDLE
        if self.held or (self.worker.holding and idle and self.at_safe_point()):
            self.try_hold()
            return True
        # New statements of a moved session get ids of ours in the reply: one at a time.
        return bool(self.mapped is not None and self._preparing and not idle)

    def at_safe_point(self) -> bool:
        raise NotImplementedError

    def _begin(self, data: bytes, length: int) -> bytes | None:
        """Note what a command changes before it is forwarded; what to send in its place, None for as it is."""
        command = data[4]
        self.touched = True
        if self._effects:  # sent behind a command whose reply is still to come
            self._effects = [(-1, effect) for _, effect in self._effects]
        whole = len(data) == 4 + length
        if command == COM_CHANGE_USER:
            self.change_user(data, whole=whole)
            return None
        rewritten: bytes | None = None
        if command == COM_QUERY:
            rewritten = self._query(data)
        elif command == COM_STMT_PREPARE:
            self._preparing = [*(self._preparing or ()), data[5:]]
        elif command in _STATEMENT_COMMANDS:
            rewritten = self._statement(command, data, whole=whole)
        elif command == COM_RESET_CONNECTION:
            self.connection_reset()
        elif command == COM_SET_OPTION and whole and length >= 3:
            self.state.multi = data[5] == 0
        elif command == COM_PROCESS_KILL and whole and length >= 5:
            rewritten = self._process_kill(data)
        self.tracker.expect(command)
        return rewritten

    def change_user(self, data: bytes, *, whole: bool) -> None:
        raise NotImplementedError

    # -- texts ---------------------------------------------------------------------------------------------------

    def _query(self, data: bytes) -> bytes | None:
        echo, self.echo = self.echo, None
        if echo is not None:
            text = echo.rewrite(data[5:])
            if text is not None:
                return packet(b"\x03" + text, data[3])
        effects = numbered(data[5:])
        if effects:
            self._note(effects)
            if len(effects) == 1 and effects[0][1].kind is Kind.KILL:
                return self._kill(data, effects[0][1].name)
        return None

    def _note(self, effects: list[tuple[int, Effect]]) -> None:
        """They happen when the replies under way have come, unless those say otherwise."""
        alone = self.tracker.state == reply.IDLE and not self._effects
        self._effects = effects if alone else [*(self._effects or ()), *((-1, effect) for _, effect in effects)]

    def _to_resolve(self, text: bytes) -> bool:
        """A KILL of a session that another worker has: which one it is on the server is asked first."""
        if b"KILL" not in text[:64].upper():
            return False
        effects = look(text)
        return len(effects) == 1 and effects[0].kind is Kind.KILL and self.worker.resolve(int(effects[0].name), self)

    def _kill(self, data: bytes, number: bytes) -> bytes | None:
        other = self.worker.backend_id(int(number))
        if other is None:
            return None
        at = data.rindex(number)
        return packet(data[4:at] + b"%d" % other + data[at + len(number) :], data[3])

    def _process_kill(self, data: bytes) -> bytes | None:
        other = self.worker.backend_id(int.from_bytes(data[5:9], "little"))
        return None if other is None else data[:5] + other.to_bytes(4, "little") + data[9:]

    # -- prepared statements ---------------------------------------------------------------------------------------

    def prepared(self, statement: bytes, parameters: int) -> None:
        """The server's answer to the oldest COM_STMT_PREPARE under way."""
        if not self._preparing:
            return
        text, *rest = self._preparing
        self._preparing = rest or None
        if not statement:
            return
        if self.mapped is not None:
            own = self.next_id.to_bytes(4, "little")
            self.next_id += 1
            self.mapped[own] = statement
            statement = own
        if self.state.statements is None:
            self.state.statements = {}
        self.state.statements[statement] = Statement(
            text, self.state.environment(), parameters, flag_offset(parameters), effects=tuple(look(text))
        )

    def _statement(self, command: int, data: bytes, *, whole: bool) -> bytes | None:
        """A command on a statement: what it leaves behind, and the statement's id where it is now."""
        number = data[5:9]
        known = self.state.statements
        if number == _LAST and known and self.mapped is not None and not self._preparing:
            number = next(reversed(known))
        statement = known.get(number) if known else None
        rewritten: bytes | None = None
        if command == COM_STMT_SEND_LONG_DATA:
            self.long_data = True
        elif command == COM_STMT_FETCH:
            self.last_statement = number
        elif command in (COM_STMT_EXECUTE, COM_STMT_BULK_EXECUTE):
            self.last_statement = number
            self.long_data = False
            self.echo = None
            if statement is not None:
                if statement.effects:
                    self._note([(0, effect) for effect in statement.effects])
                if whole and statement.parameters:
                    rewritten = self._bind(command, statement, data)
        else:
            self.long_data = False
            if self.cursors:
                self.cursors.discard(number)
            if command == COM_STMT_CLOSE and known is not None:
                known.pop(number, None)
        if self.mapped is None:
            return rewritten
        there = self.mapped.pop(number, number) if command == COM_STMT_CLOSE else self.mapped.get(number, number)
        if not self.mapped and not self._preparing:
            self.mapped = None  # ids are the server's again
        source = rewritten if rewritten is not None else data
        return source if there == source[5:9] else source[:5] + there + source[9:]

    def _bind(self, command: int, statement: Statement, data: bytes) -> bytes | None:
        """Remember types that come with an execution; put them in where the server does not know them."""
        find = execute_types if command == COM_STMT_EXECUTE else bulk_types
        types = find(data, statement.parameters)
        if types is not None:
            statement.types, statement.unbound = b"\1" + types, False
            return None
        if not statement.unbound or statement.types == b"\xff":
            return None
        statement.unbound = False
        return with_types(command, data, statement.parameters, statement.types[1:])

    def connection_reset(self) -> None:
        """COM_RESET_CONNECTION is on its way: nothing but the schema will be left, our tracking neither."""
        self.cursors = None
        self.long_data = False
        self.mapped = None
        self.state.reset()
        self.drop_spare()
        self.tracked = False

    def _file_data(self, data: bytes, pos: int) -> int:
        """LOCAL INFILE: packets of file data up to an empty one."""
        if len(data) - pos < 4:
            self._kept = data[pos:]
            return len(data)
        length = int.from_bytes(data[pos : pos + 3], "little")
        stop = min(pos + 4 + length, len(data))
        self._skip = pos + 4 + length - stop
        self.to_server(data[pos:stop])
        if length == 0:
            self.tracker.file_sent()
        return stop
