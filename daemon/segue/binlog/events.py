"""Event headers, types, and the small control events."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from typing import Final

HEADER: Final = struct.Struct("<IBIIIH")
"""timestamp (s), type, server_id, event size, next position, flags."""
HEADER_SIZE: Final = 19

QUERY: Final = 2
STOP: Final = 3
ROTATE: Final = 4
FORMAT_DESCRIPTION: Final = 15
XID: Final = 16
TABLE_MAP: Final = 19
WRITE_V1, UPDATE_V1, DELETE_V1 = 23, 24, 25
INCIDENT: Final = 26
HEARTBEAT: Final = 27
IGNORABLE: Final = 28
ROWS_QUERY: Final = 29
WRITE_V2, UPDATE_V2, DELETE_V2 = 30, 31, 32
GTID: Final = 33
ANONYMOUS_GTID: Final = 34
PREVIOUS_GTIDS: Final = 35
TRANSACTION_CONTEXT: Final = 36
VIEW_CHANGE: Final = 37
XA_PREPARE: Final = 38
PARTIAL_UPDATE_ROWS: Final = 39
TRANSACTION_PAYLOAD: Final = 40
HEARTBEAT_V2: Final = 41
GTID_TAGGED: Final = 42
MARIADB_ANNOTATE_ROWS: Final = 160
MARIADB_CHECKPOINT: Final = 161
MARIADB_GTID: Final = 162
MARIADB_GTID_LIST: Final = 163
MARIADB_QUERY_COMPRESSED: Final = 165
MARIADB_ROWS_COMPRESSED: Final = frozenset({166, 167, 168})

ROWS: Final = frozenset({WRITE_V1, UPDATE_V1, DELETE_V1, WRITE_V2, UPDATE_V2, DELETE_V2, PARTIAL_UPDATE_ROWS})
TWO_IMAGES: Final = frozenset({UPDATE_V1, UPDATE_V2, PARTIAL_UPDATE_ROWS})
NO_CONTENT: Final = frozenset(
    {STOP, IGNORABLE, ROWS_QUERY, TRANSACTION_CONTEXT, VIEW_CHANGE, MARIADB_ANNOTATE_ROWS,
     MARIADB_CHECKPOINT, MARIADB_GTID_LIST, HEARTBEAT, HEARTBEAT_V2}
)  # fmt: skip
"""Events that change no row and end no transaction."""

NAMES: Final = {
    1: "START_V3", 5: "INTVAR", 6: "LOAD", 7: "SLAVE", 8: "CREATE_FILE", 9: "APPEND_BLOCK", 10: "EXEC_LOAD",
    11: "DELETE_FILE", 12: "NEW_LOAD", 13: "RAND", 14: "USER_VAR", 17: "BEGIN_LOAD_QUERY", 18: "EXECUTE_LOAD_QUERY",
    20: "PRE_GA_WRITE_ROWS", 21: "PRE_GA_UPDATE_ROWS", 22: "PRE_GA_DELETE_ROWS", INCIDENT: "INCIDENT",
    XA_PREPARE: "XA_PREPARE", PARTIAL_UPDATE_ROWS: "PARTIAL_UPDATE_ROWS", GTID_TAGGED: "GTID_TAGGED",
    164: "START_ENCRYPTION", MARIADB_QUERY_COMPRESSED: "QUERY_COMPRESSED", 169: "WRITE_ROWS_COMPRESSED_V2",
    170: "UPDATE_ROWS_COMPRESSED_V2", 171: "DELETE_ROWS_COMPRESSED_V2", 172: "PARTIAL_ROW_DATA",
}  # fmt: skip

_CHECKSUM_CRC32 = 1
ARTIFICIAL: Final = 0x20


class BinlogError(Exception):
    """Bytes that are no event, or an event that is not understood."""


class DoesNotFit(ValueError):  # noqa: N818 - names what happened
    """A value that its column cannot hold without loss."""


# A CRC32 over data and its own CRC always ends in the same residue. The seed makes the one zero byte in front of
# each event on the wire count for nothing, so that no event has to be copied to be checked.
_CRC_SEED = 0x0F6A7026
_CRC_RESIDUE = 0x2144DF1C


def crc_is_right(payload: bytes) -> bool:
    """Whether an event as it came (behind a zero byte, its CRC32 at the end) is undamaged."""
    return zlib.crc32(payload, _CRC_SEED) == _CRC_RESIDUE


def has_checksums(description: bytes) -> bool:
    """Whether events behind this FORMAT_DESCRIPTION event (complete, with header) end with a CRC32."""
    return len(description) > HEADER_SIZE + 60 and description[-5] == _CHECKSUM_CRC32


def without_checksums(description: bytes) -> bytes:
    """The same FORMAT_DESCRIPTION event announcing that no event has a checksum."""
    return description[:-5] + b"\0" + description[-4:]


@dataclass(frozen=True, slots=True)
class Rotate:
    file: str
    position: int

    @classmethod
    def parse(cls, body: bytes) -> Rotate:
        return cls(body[8:].decode(), int.from_bytes(body[:8], "little"))


@dataclass(frozen=True, slots=True)
class Query:
    """A statement in the binlog: BEGIN, COMMIT, DDL, or statement-format DML."""

    database: str
    text: str
    """Read as UTF-8; what that does not fit is replaced."""
    raw: bytes = b""
    """The text as it came, in the character set that `status` names."""
    status: bytes = b""
    """Status variables: the session in which it ran."""

    @classmethod
    def parse(cls, body: bytes) -> Query:
        """Raises BinlogError when it is cut short."""
        if len(body) < 13:
            raise BinlogError("a QUERY event is cut short")
        database_size = body[8]
        status_size = int.from_bytes(body[11:13], "little")
        at = 13 + status_size
        database = body[at : at + database_size].decode("utf-8", "replace")
        raw = body[at + database_size + 1 :]
        return cls(database, raw.decode("utf-8", "replace"), raw, body[13:at])


def uuid_text(data: bytes) -> str:
    hexed = data.hex()
    return f"{hexed[:8]}-{hexed[8:12]}-{hexed[12:16]}-{hexed[16:20]}-{hexed[20:]}"


def mysql_gtid(body: bytes) -> tuple[str, int, float]:
    """(source uuid, number, commit time in seconds or 0) of a GTID event's body."""
    if len(body) < 25:
        raise BinlogError("a GTID event is cut short")
    return uuid_text(body[1:17]), int.from_bytes(body[17:25], "little"), commit_time(body)


def commit_time(body: bytes) -> float:
    """immediate_commit_timestamp of a GTID or ANONYMOUS_GTID event, seconds; 0 before MySQL 8.0."""
    if len(body) < 49:
        return 0.0
    return (int.from_bytes(body[42:49], "little") & ((1 << 55) - 1)) / 1e6


def mariadb_gtid(body: bytes, server_id: int) -> tuple[int, int, int, int]:
    """(domain, server_id, sequence, flags)."""
    return int.from_bytes(body[8:12], "little"), server_id, int.from_bytes(body[:8], "little"), body[12]


_COMMENT = re.compile(r"/\*(?!!|M!).*?\*/|--\s[^\n]*|#[^\n]*", re.DOTALL)
_QUALIFIER = re.compile(r"(?:`((?:[^`]|``)+)`|([\w$]+))\s*\.\s*(?:`|[\w$])")
_HARMLESS = re.compile(
    r"(FLUSH|ANALYZE|OPTIMIZE|CHECK|GRANT|REVOKE|SET\s+(PASSWORD|DEFAULT\s+ROLE)"
    r"|(CREATE|ALTER|DROP|RENAME)\s+(USER|ROLE|SERVER|RESOURCE)|(CREATE|DROP)\s+TEMPORARY)\b",
    re.IGNORECASE,
)
_DATABASE = re.compile(
    r"(?:CREATE|ALTER|DROP)\s+(?:OR\s+REPLACE\s+)?(?:DATABASE|SCHEMA)\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?`?([^`\s;]+)`?",
    re.IGNORECASE,
)


_BLANK = re.compile(r"[\s(]+")
_EXECUTED_COMMENT = re.compile(r"/\*M?!\d*")
_CHANGES_ROWS = re.compile(r"(INSERT|UPDATE|DELETE|REPLACE|LOAD|CALL|WITH|DO|SELECT|VALUES)\b", re.IGNORECASE)


def changes_rows(text: str) -> bool:
    """Whether a statement is logged in place of its rows: DML, or a call of something stored."""
    at = 0
    while True:
        if match := _BLANK.match(text, at) or _EXECUTED_COMMENT.match(text, at):
            at = match.end()
            continue
        if text.startswith("/*", at):
            end = text.find("*/", at + 2) + 2
        elif text.startswith(("#", "--"), at):
            end = text.find("\n", at) + 1
        else:
            return _CHANGES_ROWS.match(text, at) is not None
        if end <= at:
            return False  # a comment without end
        at = end


def schemas_touched(query: Query) -> set[str]:
    """Schemas that a DDL statement may change; empty when it changes none. Unsure means more, not fewer."""
    text = _COMMENT.sub(" ", query.text).strip()
    text = re.sub(r"^/\*M?!\d*\s*", "", text)
    if _HARMLESS.match(text):
        return set()
    if match := _DATABASE.match(text):
        return {match[1]}
    named = {(a.replace("``", "`") or b) for a, b in _QUALIFIER.findall(text)}
    return named | ({query.database} if query.database else set())
