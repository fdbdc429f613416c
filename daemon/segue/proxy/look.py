"""Which statements change what a session carries, from their text alone. Pure.

`plain` is the rule of the fast path: a packet it lets through changes nothing that must be known, or only what the
server can be asked for later (user variables, LAST_INSERT_ID, FOUND_ROWS, ROW_COUNT, warnings, roles) or reports by
itself (system variables, schema). `look` reads the others, one effect per statement.

The rule, for a whole COM_QUERY packet (a compiled twin must say the same): the first four bytes of the text are, in
either case, one of `PLAIN_HEADS`; no `;` anywhere; no `_LOCK` in either case within the first and the last
`SCANNED` bytes; and a packet of more than `SCANNED` bytes begins with one of `LONG_HEADS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SCANNED: Final = 8192
PLAIN_HEADS: Final = frozenset(
    {b"SELE", b"INSE", b"UPDA", b"DELE", b"REPL", b"BEGI", b"STAR", b"COMM", b"ROLL", b"SHOW", b"WITH"}
)
LONG_HEADS: Final = frozenset({b"INSE", b"UPDA", b"DELE", b"REPL"})
_MAX_LOOK = 1 << 18


def plain(packet: bytes) -> bool:
    """May this whole COM_QUERY packet, header included, be forwarded unseen?"""
    head = packet[5:9].upper()
    if head not in PLAIN_HEADS or b";" in packet:
        return False
    if len(packet) <= SCANNED:
        return b"_LOCK" not in packet.upper()
    return head in LONG_HEADS and b"_LOCK" not in packet[:SCANNED].upper() + packet[-SCANNED:].upper()


class Kind(StrEnum):
    TEMPORARY = "temporary table"
    DROP = "drop"
    LOCK_TABLES = "LOCK TABLES"
    GLOBAL_LOCK = "global lock"
    UNLOCK_TABLES = "unlock"
    HANDLER_OPEN = "HANDLER"
    HANDLER_CLOSE = "handler close"
    LOCK = "GET_LOCK"
    ONE_SHOT = "SET TRANSACTION"
    TRANSACTION = "transaction"
    """Begins or uses a transaction: what was set for the next one only is used up."""
    BEGIN = "begin"
    """The same, and it unlocks tables."""
    PREPARE = "PREPARE"
    DEALLOCATE = "deallocate"
    OPAQUE = "opaque"
    """Runs statements that cannot be seen: CALL, EXECUTE, compound statements."""
    KILL = "KILL"


RELEASING: Final = frozenset(
    {Kind.DROP, Kind.UNLOCK_TABLES, Kind.HANDLER_CLOSE, Kind.DEALLOCATE, Kind.TRANSACTION, Kind.BEGIN}
)
"""They take something away that ties a session; the others add."""


@dataclass(frozen=True, slots=True)
class Effect:
    """`name` is of a table, handler, lock or prepared statement; `text` the whole statement."""

    kind: Kind
    name: bytes = b""
    text: bytes = b""


_CUT = re.compile(
    rb"""('(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`]|``)*`)"""
    rb"|(/\*(?!!|M!).*?\*/|--(?=[\s\x00-\x1f]|$)[^\n]*|\#[^\n]*)|(/\*M?!\d*|\*/)|(;)",
    re.DOTALL,
)
_PART = rb"(?:`(?:[^`]|``)*`|[\w$\x80-\xff]+)"
_NAME = rb"(" + _PART + rb"(?:\s*\.\s*" + _PART + rb")?)"
_TEMPORARY = re.compile(rb"CREATE\s+(?:OR\s+REPLACE\s+)?TEMPORARY\s+(?:TABLE|SEQUENCE)\s+(?:IF\s+NOT\s+EXISTS\s+)?" + _NAME, re.IGNORECASE)
_DROP = re.compile(rb"DROP\s+(?:TEMPORARY\s+)?(?:TABLES?|SEQUENCE)\s+(?:IF\s+EXISTS\s+)?(.*)", re.IGNORECASE | re.DOTALL)
_HANDLER = re.compile(rb"HANDLER\s+" + _NAME + rb"\s+(OPEN|CLOSE|READ)\b(?:\s+AS)?\s*" + _NAME + rb"?", re.IGNORECASE)
_ONE_SHOT = re.compile(rb"SET\s+TRANSACTION\b", re.IGNORECASE)
_PREPARE = re.compile(rb"PREPARE\s+" + _NAME + rb"\s+FROM\b", re.IGNORECASE)
_DEALLOCATE = re.compile(rb"(?:DEALLOCATE|DROP)\s+PREPARE\s+" + _NAME, re.IGNORECASE)
_GET_LOCK = re.compile(rb"\bGET_LOCK\s*\(\s*(?:'((?:[^'\\]|'')*)'|\"((?:[^\"\\]|\"\")*)\"|(\?|[^'\"]))", re.IGNORECASE)
_KILL = re.compile(rb"KILL\s+(?:HARD\s+|SOFT\s+)?(?:CONNECTION\s+|QUERY\s+)?(?:ID\s+)?(\d+)\s*$", re.IGNORECASE)
_FROM = re.compile(rb"\bFROM\b", re.IGNORECASE)


_Reader = Callable[[bytes, bytes], Effect | None]


def look(text: bytes) -> list[Effect]:
    """The effects of one COM_QUERY text, of several statements if need be. Beyond 256 kB only its start is read."""
    return [effect for _, effect in numbered(text)]


def numbered(text: bytes) -> list[tuple[int, Effect]]:
    """The same, each with the number of its statement in the text, from 0 on."""
    return [
        (number, effect)
        for number, (statement, original) in enumerate(_statements(text[:_MAX_LOOK]))
        for effect in _one(statement, original)
    ]


def _statements(text: bytes) -> list[tuple[bytes, bytes]]:
    """(without comments, as it was) for each statement of the text."""
    parts: list[tuple[bytes, bytes]] = []
    kept: list[bytes] = []
    begin = at = 0
    for found in _CUT.finditer(text):
        kept.append(text[at : found.start()])
        at = found.end()
        if found[1] is not None:
            kept.append(found[1])
        elif found[4] is not None:
            parts.append((b"".join(kept).strip(), text[begin : found.start()]))
            kept, begin = [], at
        else:
            kept.append(b" ")
    kept.append(text[at:])
    parts.append((b"".join(kept).strip(), text[begin:]))
    return [(s, o) for s, o in parts if s]


def _one(statement: bytes, original: bytes) -> list[Effect]:
    word = re.match(rb"[A-Za-z]*", statement)
    head = word[0].upper() if word else b""
    effects: list[Effect] = []
    if b"_LOCK" in statement.upper():
        effects += [
            Effect(Kind.LOCK, found[1] or found[2] or b"", b"" if found[3] is None else b"?")
            for found in _GET_LOCK.finditer(statement)
        ]
    single = _BY_HEAD.get(head)
    if single is not None:
        effect = single(statement, original)
        if effect is not None:
            effects.append(effect)
    elif head in _TRANSACTIONAL and (head != b"SELECT" or _FROM.search(statement)):
        effects.append(Effect(Kind.TRANSACTION))
    if head == b"DROP" and (found := _DROP.match(statement)):
        names = re.split(rb"\s*,\s*", re.sub(rb"\s+(?:RESTRICT|CASCADE)\s*$", b"", found[1], flags=re.IGNORECASE))
        effects += [Effect(Kind.DROP, bare(n)) for n in names]
    return effects


def bare(name: bytes) -> bytes:
    """A table's or statement's name without schema and quotes, lower case."""
    return name.strip().replace(b"`", b"").rpartition(b".")[2].lower()


def _create(statement: bytes, _original: bytes) -> Effect | None:
    found = _TEMPORARY.match(statement)
    return Effect(Kind.TEMPORARY, bare(found[1])) if found else Effect(Kind.TRANSACTION)


def _drop(statement: bytes, _original: bytes) -> Effect | None:
    found = _DEALLOCATE.match(statement)
    return Effect(Kind.DEALLOCATE, bare(found[1])) if found else None


def _set(statement: bytes, original: bytes) -> Effect | None:
    return Effect(Kind.ONE_SHOT, text=original.strip()) if _ONE_SHOT.match(statement) else None


def _lock(statement: bytes, _original: bytes) -> Effect | None:
    return Effect(Kind.LOCK_TABLES if re.match(rb"LOCK\s+TABLES?\b", statement, re.IGNORECASE) else Kind.GLOBAL_LOCK)


def _flush(statement: bytes, _original: bytes) -> Effect | None:
    locks = re.search(rb"WITH\s+READ\s+LOCK|FOR\s+EXPORT", statement, re.IGNORECASE)
    return Effect(Kind.GLOBAL_LOCK) if locks else None


def _handler(statement: bytes, _original: bytes) -> Effect | None:
    found = _HANDLER.match(statement)
    if found is None:
        return None
    what = found[2].upper()
    name = bare(found[3] or found[1]) if what == b"OPEN" else bare(found[1])
    return {b"OPEN": Effect(Kind.HANDLER_OPEN, name), b"CLOSE": Effect(Kind.HANDLER_CLOSE, name)}.get(what)


def _prepare(statement: bytes, original: bytes) -> Effect | None:
    found = _PREPARE.match(statement)
    if found is None:
        return None
    # What a user variable held then cannot be known later.
    text = b"" if statement[found.end() :].lstrip()[:1] == b"@" else original.strip()
    return Effect(Kind.PREPARE, bare(found[1]), text)


def _deallocate(statement: bytes, _original: bytes) -> Effect | None:
    return _drop(statement, b"")


def _kill(statement: bytes, _original: bytes) -> Effect | None:
    found = _KILL.match(statement)
    return Effect(Kind.KILL, found[1]) if found else None


def _backup(statement: bytes, _original: bytes) -> Effect | None:
    ends = re.match(rb"BACKUP\s+(?:STAGE\s+END|UNLOCK)", statement, re.IGNORECASE)
    return Effect(Kind.UNLOCK_TABLES if ends else Kind.GLOBAL_LOCK)


def _begin(statement: bytes, _original: bytes) -> Effect | None:
    return Effect(Kind.OPAQUE if re.match(rb"BEGIN\s+NOT\b", statement, re.IGNORECASE) else Kind.BEGIN)


_BY_HEAD: Final[dict[bytes, _Reader]] = {
    b"CREATE": _create, b"DROP": _drop, b"SET": _set, b"LOCK": _lock, b"FLUSH": _flush, b"HANDLER": _handler,
    b"PREPARE": _prepare, b"DEALLOCATE": _deallocate, b"KILL": _kill, b"BACKUP": _backup, b"BEGIN": _begin,
    b"START": lambda _s, _o: Effect(Kind.BEGIN),
    b"UNLOCK": lambda _s, _o: Effect(Kind.UNLOCK_TABLES),
    **dict.fromkeys((b"CALL", b"EXECUTE", b"IF", b"CASE", b"LOOP", b"WHILE", b"FOR", b"REPEAT"),
                    lambda _s, _o: Effect(Kind.OPAQUE)),
}  # fmt: skip
_TRANSACTIONAL: Final = frozenset(
    {b"SELECT", b"INSERT", b"UPDATE", b"DELETE", b"REPLACE", b"COMMIT", b"ROLLBACK", b"WITH", b"LOAD", b"ALTER",
     b"TRUNCATE", b"RENAME", b"XA", b"TABLE", b"VALUES"}
)  # fmt: skip
