"""What one session carries, kept as it changes: compact, since most sessions carry nothing.

Enters: session state blocks of OK packets, effects of statements, prepared statements. Leaves: what a session on
another server must be given (`questions` and `loading` make SQL of it), and what cannot be given (`ties`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from segue.proxy.look import RELEASING, Effect, Kind
from segue.wire import ok

Environment = tuple[bytes, bytes | None, bytes | None, bytes | None]
"""What a prepared statement's text meant: schema, sql_mode, character_set_client, collation_connection.
None is a session's value from its login."""


@dataclass(slots=True)
class Statement:
    """One binary prepared statement. `flag_at` is where an EXECUTE packet has its new-types flag, 0 without any."""

    text: bytes
    environment: Environment
    parameters: int
    flag_at: int
    types: bytes = b"\xff"
    """The flag (1) and the types bound last, as an EXECUTE packet has them."""
    unbound: bool = False
    """The server that has it now was never told the types."""
    effects: tuple[Effect, ...] = ()
    """What its execution does to the session."""
    loud: bool = field(init=False)
    """Each execution must be seen. Using up what was set for the next transaction need not be: a session that has set
    something, or has locked tables, is not on the fast path."""

    def __post_init__(self) -> None:
        self.loud = any(effect.kind not in (Kind.TRANSACTION, Kind.BEGIN) for effect in self.effects)


def happened(effects: Sequence[tuple[int, Effect]], results: int) -> list[Effect]:
    """What statements did of which one failed, with so many results before the error. The number of each effect's statement
    is -1 where commands were sent together; then, and where a statement has results of its own making, what adds to the
    session counts as done, what takes from it as not: better a session that waits than one that loses something."""
    if any(number < 0 or effect.kind is Kind.OPAQUE for number, effect in effects):
        return [effect for _, effect in effects if effect.kind not in RELEASING]
    return [effect for number, effect in effects if number < results]


class State:
    """One session's. Nothing here is ever logged: values may be secrets."""

    __slots__ = ("handlers", "lock_unknown", "locks", "multi", "one_shot", "opaque", "schema", "statements", "tables_locked",
                 "temporary", "texts", "variables")  # fmt: skip

    def __init__(self) -> None:
        self.schema = b""
        self.multi: bool | None = None
        """COM_SET_OPTION's last word on multi-statements."""
        self.reset()

    def reset(self) -> None:
        """COM_RESET_CONNECTION, COM_CHANGE_USER, or a new login: all but the schema is gone."""
        self.variables: dict[bytes, bytes] | None = None
        self.statements: dict[bytes, Statement] | None = None
        self.texts: dict[bytes, tuple[bytes, Environment]] | None = None
        self.temporary: set[bytes] | None = None
        self.handlers: set[bytes] | None = None
        self.locks: set[bytes] | None = None
        self.lock_unknown = False
        self.one_shot = b""
        self.tables_locked = ""
        self.opaque = False

    def copy(self) -> State:
        """As it is now; the statements themselves are shared."""
        new = State()
        for name in self.__slots__:
            value = getattr(self, name)
            setattr(new, name, value.copy() if isinstance(value, dict | set) else value)
        return new

    def take(self, block: bytes) -> None:
        """One OK packet's session state. Raises ProtocolError."""
        for kind, name, value in ok.changes(block):
            if kind == ok.SCHEMA:
                self.schema = value
            else:
                if self.variables is None:
                    self.variables = {}
                self.variables[name] = value

    def environment(self) -> Environment:
        known = self.variables or {}
        return (self.schema, known.get(b"sql_mode"), known.get(b"character_set_client"), known.get(b"collation_connection"))

    def apply(self, effect: Effect) -> None:
        """A statement with this effect succeeded."""
        match effect.kind:
            case Kind.TEMPORARY:
                self.temporary = (self.temporary or set()) | {effect.name}
            case Kind.DROP:
                if self.temporary:
                    self.temporary.discard(effect.name)
            case Kind.LOCK_TABLES | Kind.GLOBAL_LOCK:
                self.tables_locked = effect.kind.value
            case Kind.UNLOCK_TABLES:
                self.tables_locked = ""
            case Kind.HANDLER_OPEN:
                self.handlers = (self.handlers or set()) | {effect.name}
            case Kind.HANDLER_CLOSE:
                if self.handlers:
                    self.handlers.discard(effect.name)
            case Kind.LOCK if effect.text:
                self.lock_unknown = True
            case Kind.LOCK:
                self.locks = (self.locks or set()) | {effect.name}
            case Kind.ONE_SHOT:
                self.one_shot = (self.one_shot + b";" + effect.text).lstrip(b";")
            case Kind.TRANSACTION:
                self.one_shot = b""
            case Kind.BEGIN:
                self.one_shot = b""
                if self.tables_locked == Kind.LOCK_TABLES:
                    self.tables_locked = ""
            case Kind.PREPARE:
                if self.texts is None:
                    self.texts = {}
                self.texts[effect.name] = (effect.text, self.environment())
            case Kind.DEALLOCATE:
                if self.texts:
                    self.texts.pop(effect.name, None)
            case Kind.OPAQUE:
                self.opaque = True
            case Kind.KILL:
                pass

    @property
    def tie(self) -> str:
        """Why this session cannot move now; empty when it can."""
        if self.temporary:
            names = b", ".join(sorted(self.temporary)).decode("utf-8", "replace")
            return f"has the temporary table {names}"
        if self.tables_locked:
            return f"holds {self.tables_locked}"
        if self.handlers:
            return f"has an open HANDLER on {b', '.join(sorted(self.handlers)).decode('utf-8', 'replace')}"
        unknown = [name for name, (text, _) in (self.texts or {}).items() if not text]
        if unknown:
            return f"prepared {b', '.join(unknown).decode('utf-8', 'replace')} from a user variable"
        if self.lock_unknown:
            return "took a GET_LOCK whose name is not in the statement's text"
        return ""
