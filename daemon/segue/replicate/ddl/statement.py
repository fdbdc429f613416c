"""What a DDL statement does, as far as replication has to know. Pure.

Theory. A statement is taken by its head: the verb, the kind of object, the names. The rest is looked at only for
what changes rows without row events (TRUNCATE, partitions), names further tables, or may give different rows on
two servers. Whatever is not recognised for certain becomes `unknown` with the reason; nothing is guessed.

Source of the grammar: MySQL Reference Manual, "Data Definition Statements"; MariaDB Knowledge Base, same title.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final, Literal, Protocol

from segue.replicate.ddl.text import Token, Unclear, tokens

Kind = Literal["nothing", "create", "drop", "rename", "truncate", "alter", "database", "object", "unknown"]
"""`object` is a view, routine, trigger or event; `alter` includes indexes."""


@dataclass(frozen=True, slots=True)
class Name:
    """A table as a statement names it, and where in the text."""

    schema: str
    table: str
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)

    @property
    def key(self) -> tuple[str, str]:
        return self.schema, self.table

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of the binlog."""

    kind: Kind
    text: str
    verb: str = ""
    """CREATE, ALTER or DROP for databases and objects."""
    tables: tuple[Name, ...] = ()
    """Tables that are made, changed or emptied; of a rename the old names."""
    renamed: tuple[Name, ...] = ()
    """New names, each of the table at the same place in `tables`; empty unless tables get other names."""
    reads: tuple[Name, ...] = ()
    """Tables whose definition it uses (LIKE)."""
    schema: str = ""
    """Of a database or an object."""
    moves_rows: bool = False
    """Removes or moves rows without row events, other than by emptying or dropping a whole table."""
    partitions: tuple[str, ...] = ()
    """Partitions that are dropped."""
    uncertain: str = ""
    """Why the same statement may not do the same on another server; empty when it does."""
    schemas: frozenset[str] | None = frozenset()
    """Of an unknown statement: schemas it may touch; None for any."""
    opens_transaction: tuple[int, int] | None = None
    """Where its START TRANSACTION is, which MySQL writes behind the CREATE TABLE of a CREATE ... SELECT."""

    @property
    def names(self) -> tuple[Name, ...]:
        """Every table that is changed, old and new names."""
        return self.tables + self.renamed

    @property
    def touched_schemas(self) -> set[str] | None:
        """Whose definitions it may change; None when any."""
        if self.kind == "unknown":
            return None if self.schemas is None else set(self.schemas)
        return {n.schema for n in self.names} | ({self.schema} if self.schema else set())

    def concerns(self, selected: Selected) -> bool:
        """Whether it may touch what is replicated."""
        match self.kind:
            case "nothing":
                return False
            case "unknown":
                return self.schemas is None or any(selected.wants_schema(s) for s in self.schemas)
            case "database" | "object":
                return selected.wants_schema(self.schema)
        return any(selected.wants(*n.key) for n in self.names)


class Selected(Protocol):
    """Which schemas and tables are replicated."""

    def wants_schema(self, schema: str, /) -> bool: ...
    def wants(self, schema: str, table: str, /) -> bool: ...


_NOTHING: Final = frozenset({"ANALYZE", "OPTIMIZE", "CHECK", "REPAIR", "FLUSH", "GRANT", "REVOKE", "INSTALL",
                             "UNINSTALL", "RESET", "CHANGE", "PURGE", "KILL", "SHUTDOWN", "CACHE"})  # fmt: skip
_NO_TABLE: Final = frozenset({"USER", "ROLE", "SERVER", "TABLESPACE", "LOGFILE", "UNDO", "RESOURCE", "INSTANCE",
                              "TEMPORARY", "PREPARE", "CATALOG", "LIBRARY"})  # fmt: skip
_OBJECTS: Final = frozenset({"VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "PACKAGE"})
_MODIFIERS: Final = frozenset({"ONLINE", "OFFLINE", "IGNORE", "UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR", "AGGREGATE",
                               "JSON", "RELATIONAL", "DUALITY"})  # fmt: skip
_DIFFERENT: Final = frozenset({"UUID", "UUID_SHORT", "UUIDV4", "UUIDV7", "SYS_GUID", "RAND", "RANDOM_BYTES", "SYSDATE",
                               "USER", "CURRENT_USER", "SESSION_USER", "SYSTEM_USER", "CONNECTION_ID", "VERSION",
                               "DATABASE", "SCHEMA", "LAST_INSERT_ID", "FOUND_ROWS", "ROW_COUNT", "NEXTVAL", "LASTVAL",
                               "GET_LOCK", "LOAD_FILE", "SLEEP"})  # fmt: skip
"""Functions whose value is a server's or a session's own."""


def classify(text: str, database: str = "", sql_mode: int = 0) -> Statement:
    """What `text`, run in `database` under `sql_mode`, does. Never raises: what is unclear is `unknown`."""
    try:
        found = tokens(text, sql_mode)
    except Unclear as why:
        return Statement("unknown", text, uncertain=str(why), schemas=None)
    one = _parse(found, text, database)
    if not any(t.conditional for t in found):
        return one
    two = _parse([t for t in found if not t.conditional], text, database)
    if _same(one, two):
        return replace(one, uncertain=one.uncertain or two.uncertain, moves_rows=one.moves_rows or two.moves_rows)
    return _unknown(found, text, database, "what it does depends on a versioned comment")


def _unknown(found: list[Token], text: str, database: str, why: str) -> Statement:
    dotted = pairwise(found)
    named = {str(one.identifier) for one, two in dotted if two.value == "." and one.identifier is not None}
    return Statement("unknown", text, uncertain=why, schemas=frozenset(named | ({database} if database else set())))


def _same(one: Statement, two: Statement) -> bool:
    def core(s: Statement) -> tuple[object, ...]:
        return s.kind, s.verb, s.tables, s.renamed, s.reads, s.schema, s.partitions

    return core(one) == core(two)


def _parse(found: list[Token], text: str, database: str) -> Statement:
    try:
        return _Parser(found, text, database).statement()
    except Unclear as why:
        return _unknown(found, text, database, str(why))


class _Parser:
    """Recursive descent over the tokens; each method takes what it names, or raises Unclear."""

    def __init__(self, found: list[Token], text: str, database: str) -> None:
        self._tokens = found
        self._at = 0
        self._text = text
        self._database = database

    # -- tokens --------------------------------------------------------------------------------------------

    def _peek(self, ahead: int = 0) -> str:
        """The next word or mark; empty for names, strings and at the end."""
        at = self._at + ahead
        if at >= len(self._tokens) or self._tokens[at].kind not in ("word", "mark"):
            return ""
        return self._tokens[at].value

    def _take(self, *words: str) -> bool:
        """Go past these words if they come next."""
        if all(self._peek(n) == word for n, word in enumerate(words)):
            self._at += len(words)
            return True
        return False

    def _take_one(self, *words: str) -> str:
        found = self._peek()
        if found in words:
            self._at += 1
            return found
        return ""

    def _identifier(self) -> Token:
        if self._at < len(self._tokens) and self._tokens[self._at].identifier is not None:
            self._at += 1
            return self._tokens[self._at - 1]
        raise Unclear("a name was expected")

    def _name(self) -> Name:
        """`table` or `schema`.`table`."""
        first = self._identifier()
        if self._take("."):
            second = self._identifier()
            return Name(str(first.identifier), str(second.identifier), first.start, second.end)
        if not self._database:
            raise Unclear(f"{first.raw} has no schema")
        return Name(self._database, str(first.identifier), first.start, first.end)

    def _waits(self) -> None:
        if self._take("WAIT"):
            self._at += 1
        else:
            self._take("NOWAIT")

    def _exists(self) -> None:
        if not self._take("IF", "NOT", "EXISTS"):
            self._take("IF", "EXISTS")

    def _end(self) -> None:
        """Nothing of weight may follow."""
        while self._take_one(";", "RESTRICT", "CASCADE"):
            pass
        if self._at < len(self._tokens):
            raise Unclear(f"{self._tokens[self._at].raw} was not expected")

    def _made(self, kind: Kind, **facts: object) -> Statement:
        return Statement(kind, self._text, **facts)  # type: ignore[arg-type]

    # -- statements ----------------------------------------------------------------------------------------

    def statement(self) -> Statement:
        if self._take("SET", "STATEMENT"):
            while not self._take("FOR"):
                self._at += 1
                if self._at >= len(self._tokens):
                    raise Unclear("SET STATEMENT without FOR")
        verb = self._peek()
        self._at += 1
        if verb in _NOTHING:
            return self._made("nothing")
        match verb:
            case "SET":
                if self._take_one("PASSWORD", "DEFAULT", "ROLE", "RESOURCE"):
                    return self._made("nothing")
            case "CREATE" | "ALTER" | "DROP":
                return self._definition(verb)
            case "RENAME":
                return self._rename()
            case "TRUNCATE":
                self._take("TABLE")
                name = self._name()
                self._waits()
                self._end()
                return self._made("truncate", tables=(name,))
        raise Unclear("not a statement that is known here")

    def _definition(self, verb: str) -> Statement:
        replaces = self._take("OR", "REPLACE")
        self._skip_modifiers()
        what = self._take_one("TABLE", "TABLES", "INDEX", "DATABASE", "SCHEMA", *_OBJECTS, *_NO_TABLE)
        if what in _NO_TABLE or (not what and self._take("REFERENCE", "SYSTEM")):
            return self._made("nothing")
        if what in ("DATABASE", "SCHEMA"):
            return self._schema(verb)
        if what in _OBJECTS:
            return self._object(verb)
        if what == "INDEX":
            return self._index(verb)
        if what in ("TABLE", "TABLES"):
            if verb == "CREATE":
                return self._create(replaces=replaces)
            return self._alter() if verb == "ALTER" else self._drop()
        raise Unclear(f"{verb} of an object that is not known here")

    def _skip_modifiers(self) -> None:
        while True:
            if self._take("DEFINER", "="):
                self._at += 1
                if self._peek().startswith("@"):
                    self._at += 1 if len(self._peek()) > 1 else 2
                elif self._take("("):
                    self._take(")")
            elif self._take("ALGORITHM", "=") or self._take("SQL", "SECURITY"):
                self._at += 1
            elif not self._take_one(*_MODIFIERS):
                return

    def _schema(self, verb: str) -> Statement:
        self._exists()
        token = self._tokens[self._at] if self._at < len(self._tokens) else None
        options = ("CHARACTER", "CHARSET", "DEFAULT", "COLLATE", "READ", "ENCRYPTION", "COMMENT", "UPGRADE")
        if verb == "ALTER" and token is not None and token.kind == "word" and token.value in options:
            if not self._database:
                raise Unclear("no schema is named")
            return self._made("database", verb=verb, schema=self._database)
        return self._made("database", verb=verb, schema=str(self._identifier().identifier))

    def _object(self, verb: str) -> Statement:
        self._take("BODY")
        self._exists()
        name = self._name()
        return self._made("object", verb=verb, schema=name.schema)

    def _index(self, verb: str) -> Statement:
        self._exists()
        self._identifier()
        while not self._take("ON"):
            self._at += 1
            if self._at >= len(self._tokens):
                raise Unclear(f"{verb} INDEX without a table")
        return self._made("alter", tables=(self._name(),), uncertain=self._differs())

    def _drop(self) -> Statement:
        self._exists()
        names = [self._name()]
        while self._take(","):
            names.append(self._name())
        self._waits()
        self._end()
        return self._made("drop", tables=tuple(names))

    def _rename(self) -> Statement:
        if self._take("USER"):
            return self._made("nothing")
        if not self._take_one("TABLE", "TABLES"):
            raise Unclear("RENAME of an object that is not known here")
        self._exists()
        old: list[Name] = []
        new: list[Name] = []
        while True:
            old.append(self._name())
            self._waits()
            if not self._take("TO"):
                raise Unclear("RENAME without TO")
            new.append(self._name())
            if not self._take(","):
                break
        self._end()
        return self._made("rename", tables=tuple(old), renamed=tuple(new))

    def _create(self, *, replaces: bool) -> Statement:
        self._exists()
        name = self._name()
        reads: tuple[Name, ...] = ()
        if self._take("LIKE") or self._take("(", "LIKE"):
            reads = (self._name(),)
        opens = None
        if len(self._tokens) > 2 and [t.value for t in self._tokens[-2:]] == ["START", "TRANSACTION"]:
            opens = (self._tokens[-2].start, self._tokens[-1].end)
        rest = {t.value for t in self._tokens[self._at :] if t.kind == "word"}
        why = "it takes its rows from a query" if rest & {"SELECT"} and opens is None else ""
        return self._made("create", tables=(name,), reads=reads, moves_rows=replaces, opens_transaction=opens,
                          uncertain=why)  # fmt: skip

    # -- ALTER TABLE ---------------------------------------------------------------------------------------

    def _alter(self) -> Statement:
        self._exists()
        name = self._name()
        self._waits()
        state = self._made("alter", tables=(name,), uncertain=self._differs())
        while self._at < len(self._tokens):
            state = self._action(state)
            depth = 0
            while self._at < len(self._tokens):
                mark = self._peek()
                self._at += 1
                depth += (mark == "(") - (mark == ")")
                if depth == 0 and mark == ",":
                    break
                if mark == ";":
                    self._at -= 1
                    self._end()
        return state

    def _action(self, state: Statement) -> Statement:
        """One action of an ALTER TABLE, as far as it matters."""
        if self._peek() == "RENAME" and self._peek(1) not in ("COLUMN", "INDEX", "KEY"):
            self._at += 1
            self._take_one("TO", "AS", "=")
            if state.renamed:
                raise Unclear("two new names")
            return replace(state, renamed=(self._name(),))
        if self._take("EXCHANGE", "PARTITION"):
            return self._exchanged(state, "WITH", "TABLE")
        if self._take("CONVERT", "PARTITION"):
            return self._exchanged(state, "TO", "TABLE")
        if self._take("CONVERT", "TABLE"):
            return replace(state, tables=(*state.tables, self._name()), moves_rows=True)
        if self._take("DROP", "PARTITION"):
            self._exists()
            names = [str(self._identifier().identifier)]
            while self._peek() == ",":
                self._at += 1
                names.append(str(self._identifier().identifier))
            return replace(state, moves_rows=True, partitions=tuple(names))
        if self._take("TRUNCATE", "PARTITION"):
            return replace(state, moves_rows=True)
        if self._take_one("DISCARD", "IMPORT"):
            return replace(state, moves_rows=True, uncertain="it exchanges a tablespace's file")
        if self._take_one("ADD") and self._adds_numbers():
            return replace(state, uncertain=state.uncertain or "it numbers the rows in an order of the server's own")
        return state

    def _exchanged(self, state: Statement, *words: str) -> Statement:
        self._identifier()
        if not self._take(*words):
            raise Unclear("a partition without a table")
        return replace(state, tables=(*state.tables, self._name()), moves_rows=True)

    def _adds_numbers(self) -> bool:
        """Whether the column being added is AUTO_INCREMENT."""
        depth = 0
        for token in self._tokens[self._at :]:
            if token.kind == "mark":
                depth += (token.value == "(") - (token.value == ")")
                if depth == 0 and token.value == ",":
                    return False
            elif token.kind == "word" and token.value == "AUTO_INCREMENT":
                return True
        return False

    def _differs(self) -> str:
        """A function among the rest whose value is a server's own."""
        rest = self._tokens[self._at :]
        for at, token in enumerate(rest):
            called = at + 1 < len(rest) and rest[at + 1].value == "("
            if token.kind == "word" and token.value in _DIFFERENT and (called or token.value == "CURRENT_USER"):
                return f"{token.value} gives another value there"
        return ""
