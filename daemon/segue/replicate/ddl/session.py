"""The session in which a statement of the binlog ran: its QUERY event's status variables. Pure.

Source of the format: MySQL Source Code Documentation, "Query_event"; MariaDB Knowledge Base, "QUERY_EVENT".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from segue.binlog.events import BinlogError

_FIXED: Final = {0: 4, 1: 8, 3: 4, 4: 6, 7: 2, 8: 2, 9: 8, 10: 4, 13: 3, 16: 1, 17: 8, 18: 2, 19: 1, 20: 1,
                 128: 3, 129: 8}  # fmt: skip
"""Length in bytes of the variables of fixed length, by code."""
_CATALOG, _ZONE, _CATALOG_NZ, _INVOKER, _SCHEMAS = 2, 5, 6, 11, 12
_MANY_SCHEMAS: Final = 254
_GTID_FLAGS, _CHARSET_COLLATIONS = 130, 131

_NO_FOREIGN_KEY_CHECKS: Final = 1 << 26
_NO_UNIQUE_CHECKS: Final = 1 << 27
_MODES: Final = {
    0: "REAL_AS_FLOAT", 1: "PIPES_AS_CONCAT", 2: "ANSI_QUOTES", 3: "IGNORE_SPACE", 5: "ONLY_FULL_GROUP_BY",
    6: "NO_UNSIGNED_SUBTRACTION", 7: "NO_DIR_IN_CREATE", 19: "NO_AUTO_VALUE_ON_ZERO", 20: "NO_BACKSLASH_ESCAPES",
    21: "STRICT_TRANS_TABLES", 22: "STRICT_ALL_TABLES", 23: "NO_ZERO_IN_DATE", 24: "NO_ZERO_DATE",
    25: "ALLOW_INVALID_DATES", 26: "ERROR_FOR_DIVISION_BY_ZERO", 29: "HIGH_NOT_PRECEDENCE",
    30: "NO_ENGINE_SUBSTITUTION", 31: "PAD_CHAR_TO_FULL_LENGTH",
}  # fmt: skip
"""The sql_mode bits that mean the same in both flavours."""
_ALTER_STARTS: Final = 2
_ALTER_ENDS: Final = 4 | 8
"""MariaDB's ALTER in two phases: the second one carries the first one's number."""

_CODECS: Final = {
    "big5": (1, 84), "gb2312": (24, 86), "gbk": (28, 87), "cp932": (13, 88, 95, 96), "euc_kr": (19, 85),
    "euc_jp": (12, 91, 97, 98), "gb18030": (248, 249, 250), "cp1252": (5, 8, 15, 31, 47, 48, 49, 94), "ascii": (11, 65),
}  # fmt: skip
_CODEC_OF: Final = {number: codec for codec, numbers in _CODECS.items() for number in numbers}
_UTF8_RANGES: Final = ((33, 33), (45, 46), (76, 76), (83, 83), (192, 215), (223, 247), (255, 323), (576, 608), (2048, 3000))


@dataclass(frozen=True, slots=True)
class Session:
    """What a statement's outcome may depend on; None where the event does not say."""

    flags: int | None = None
    sql_mode: int = 0
    charsets: tuple[int, int, int] | None = None
    """Collation numbers of character_set_client, collation_connection, collation_server."""
    time_zone: str | None = None
    explicit_timestamp: bool | None = None
    default_utf8mb4: int | None = None
    two_phases: bool = False
    """One half of MariaDB's ALTER in two phases."""
    timestamp: int = 0
    """Seconds; what NOW() said."""

    @classmethod
    def parse(cls, status: bytes, timestamp: int = 0) -> Session:
        """The status variables of a QUERY event. Raises BinlogError for a variable that is not known."""
        found: dict[int, bytes] = {}
        at = 0
        try:
            while at < len(status):
                code = status[at]
                size = _length(code, status, at + 1)
                found[code] = status[at + 1 : at + 1 + size]
                at += 1 + size
        except (IndexError, ValueError):
            raise BinlogError("a QUERY event's status variables are cut short") from None

        def number(code: int, start: int = 0, end: int | None = None) -> int | None:
            return int.from_bytes(found[code][start:end], "little") if code in found else None

        charsets = (number(4, 0, 2) or 0, number(4, 2, 4) or 0, number(4, 4, 6) or 0) if 4 in found else None
        explicit = number(16)
        return cls(
            flags=number(0), sql_mode=number(1) or 0, charsets=charsets,
            time_zone=found[5][1:].decode("ascii", "replace") if 5 in found else None,
            explicit_timestamp=None if explicit is None else bool(explicit), default_utf8mb4=number(18),
            two_phases=bool((number(130, 0, 1) or 0) & (_ALTER_STARTS | _ALTER_ENDS)), timestamp=timestamp,
        )  # fmt: skip

    def decode(self, text: bytes) -> str | None:
        """The statement as the server read it; None where that cannot be told."""
        client = self.charsets[0] if self.charsets else 45
        if any(low <= client <= high for low, high in _UTF8_RANGES):
            codec = "utf-8"
        else:
            codec = _CODEC_OF.get(client, "ascii")
        try:
            return text.decode(codec)
        except UnicodeDecodeError:
            return None

    def settings(self, *, same_flavour: bool) -> list[str]:
        """Assignments that give another session, one that talks UTF-8, what this one had.

        Collation numbers are a flavour's own, so they go only to the same one.
        """
        modes = ",".join(name for bit, name in _MODES.items() if self.sql_mode >> bit & 1)
        out = [f"sql_mode = '{modes}'"]
        if self.timestamp:
            out.append(f"timestamp = {self.timestamp}")
        if self.flags is not None:
            out.append(f"foreign_key_checks = {0 if self.flags & _NO_FOREIGN_KEY_CHECKS else 1}")
            out.append(f"unique_checks = {0 if self.flags & _NO_UNIQUE_CHECKS else 1}")
        if self.time_zone and all(c.isalnum() or c in "+-:/_ " for c in self.time_zone):
            out.append(f"time_zone = '{self.time_zone}'")
        if same_flavour and self.charsets is not None:
            out += [f"collation_connection = {self.charsets[1]}", f"collation_server = {self.charsets[2]}"]
        if same_flavour and self.explicit_timestamp is not None:
            out.append(f"explicit_defaults_for_timestamp = {int(self.explicit_timestamp)}")
        if same_flavour and self.default_utf8mb4:
            out.append(f"default_collation_for_utf8mb4 = {self.default_utf8mb4}")
        return out


def _length(code: int, status: bytes, at: int) -> int:
    """Bytes of a variable's value that begins at `at`."""
    if code in _FIXED:
        return _FIXED[code]
    if code == _CATALOG:
        return status[at] + 2
    if code in (_ZONE, _CATALOG_NZ):
        return status[at] + 1
    if code == _INVOKER:
        user = status[at] + 1
        return user + status[at + user] + 1
    if code == _SCHEMAS:
        end = at + 1
        if status[at] != _MANY_SCHEMAS:
            for _ in range(status[at]):
                end = status.index(b"\0", end) + 1
        return end - at
    if code == _GTID_FLAGS:
        return 2 + (8 if status[at] & _ALTER_ENDS else 0)
    if code == _CHARSET_COLLATIONS:
        return 1 + 4 * status[at]
    raise BinlogError(f"a QUERY event has an unknown status variable ({code})")
