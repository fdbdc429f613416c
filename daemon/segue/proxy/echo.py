"""What our questions overwrite on a connection (ROW_COUNT, FOUND_ROWS, warnings), kept for the client's next command.

Only that command can still ask for them: it is answered by the server, with the values written into its text. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

Warning_ = tuple[bytes, int, bytes, str]
"""Level, code, message and the message's character set."""
_CALL: Final = re.compile(rb"\b(ROW_COUNT|FOUND_ROWS)\s*\(\s*\)", re.IGNORECASE)
_ALONE: Final = re.compile(rb"\s*SELECT\s+((?:ROW_COUNT|FOUND_ROWS)\s*\(\s*\))\s*;?\s*$", re.IGNORECASE)
_SHOW: Final = re.compile(rb"\s*SHOW\s+(WARNINGS|ERRORS)\s*;?\s*$", re.IGNORECASE)
_COUNT: Final = re.compile(rb"\s*SHOW\s+COUNT\s*\(\s*\*\s*\)\s*(WARNINGS|ERRORS)\s*;?\s*$", re.IGNORECASE)
_VARIABLE: Final = re.compile(rb"@@(?:SESSION\s*\.\s*|LOCAL\s*\.\s*)?(WARNING|ERROR)_COUNT\b", re.IGNORECASE)
_CHARSETS: Final = {45: "utf8mb4", 46: "utf8mb4", 255: "utf8mb4", 33: "utf8mb3", 83: "utf8mb3", 8: "latin1", 63: "binary"}


def charset_name(collation: int) -> str:
    """The character set of a collation's number; all of 224 to 323 are utf8mb4's. Empty when not known."""
    return "utf8mb4" if 224 <= collation <= 323 else _CHARSETS.get(collation, "")


@dataclass(slots=True)
class Echo:
    row_count: int
    found_rows: int
    warnings: tuple[Warning_, ...] = ()

    def rewrite(self, text: bytes) -> bytes | None:
        """The command's text with what was kept, None when it does not ask for it."""
        if len(text) > 4096:
            return None
        alone = _ALONE.match(text)
        if alone:
            return b"SELECT %d AS `%s`" % (self._value(alone[1]), alone[1])
        show = _SHOW.match(text)
        if show:
            return self._show(errors=show[1].upper() == b"ERRORS")
        count = _COUNT.match(text)
        if count:
            kind = count[1].lower()[:-1]
            return b"SELECT %d AS `@@session.%s_count`" % (self._count(kind), kind)
        if b"'" in text or b'"' in text or b"`" in text:
            return None  # it may stand in a literal
        new = _CALL.sub(lambda found: b"%d" % self._value(found[1]), text)
        new = _VARIABLE.sub(lambda found: b"%d" % self._count(found[1].lower()), new)
        return new if new != text else None

    def _value(self, call: bytes) -> int:
        return self.row_count if call.upper().startswith(b"ROW") else self.found_rows

    def _count(self, kind: bytes) -> int:
        return sum(1 for level, *_ in self.warnings if kind == b"warning" or level.lower() == b"error")

    def _show(self, *, errors: bool) -> bytes:
        parts = [
            b"SELECT '%s' AS `Level`, %d AS `Code`, CONVERT(0x%s USING %s) AS `Message`"
            % (level, code, message.hex().encode() or b"20", charset.encode())
            for level, code, message, charset in self.warnings
            if not errors or level.lower() == b"error"
        ]
        return b" UNION ALL ".join(parts) or b"SELECT '' AS `Level`, 0 AS `Code`, '' AS `Message` LIMIT 0"
