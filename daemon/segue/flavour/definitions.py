"""A definition in one flavour's words, said in the other's. Pure, on the text of SHOW CREATE.

What has no counterpart is left as it is: the target's server then names it, which is better than a table that is
something else. Collations become the nearest that the target has, with the same sensitivity to case and accents and
the same treatment of trailing spaces; two Unicode versions still order some rare letters differently, so that a key
over such text could be refused there, with its error. Sources: MySQL Reference Manual, "Unicode Character Sets",
"Data Type Default Values"; MariaDB Knowledge Base, "Supported Character Sets and Collations", "Invisible Columns",
"Ignored Indexes".
"""

from __future__ import annotations

import re
from typing import Final

from segue.flavour.base import Flavour

_QUOTED: Final = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`(?:[^`]|``)*`", re.DOTALL)
_PLACE: Final = re.compile("\0(\\d+)\0")
_TO_MARIADB: Final = {"utf8mb4_0900_bin": "utf8mb4_nopad_bin"}
_OLD_TO_MARIADB: Final = {
    "utf8mb4_0900_ai_ci": "utf8mb4_unicode_520_nopad_ci", "utf8mb4_0900_as_cs": "utf8mb4_nopad_bin",
}  # fmt: skip
"""Before 10.10 there are no collations of UCA 14."""
_TO_MYSQL: Final = {
    "utf8mb4_nopad_bin": "utf8mb4_0900_bin", "utf8mb4_general_nopad_ci": "utf8mb4_general_ci",
    "utf8mb4_unicode_nopad_ci": "utf8mb4_unicode_ci", "utf8mb4_unicode_520_nopad_ci": "utf8mb4_unicode_520_ci",
}  # fmt: skip
_AS_TEXT: Final = {
    "uuid": "char(36) CHARACTER SET ascii", "inet4": "varchar(15) CHARACTER SET ascii", "inet6": "varchar(39) CHARACTER SET ascii",
}  # fmt: skip
_LONG: Final = re.compile("^\0\\d+\0 (?:(?:tiny|medium|long)?(?:text|blob)|geometry)\\b", re.IGNORECASE)


def translated(text: str, source: Flavour, target: Flavour) -> str:
    """One column, key, constraint or option list of SHOW CREATE on `source`, for `target`."""
    if source.name == target.name:
        return text
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"\0{len(kept) - 1}\0"

    plain = _QUOTED.sub(keep, text)
    plain = _for_mariadb(plain, target.version) if target.name == "mariadb" else _for_mysql(plain, kept)
    return _PLACE.sub(lambda m: kept[int(m[1])], plain)


def _for_mariadb(text: str, version: tuple[int, ...]) -> str:
    def collation(match: re.Match[str]) -> str:
        name = match[0]
        if version >= (10, 10) and name not in _TO_MARIADB:
            return f"utf8mb4_uca1400_nopad_{match[1]}"
        return (_TO_MARIADB | _OLD_TO_MARIADB).get(name, name)

    text = re.sub(r"\butf8mb4_0900_(ai_ci|as_ci|as_cs|bin)\b", collation, text)
    if "NOT NULL" not in text or " DEFAULT " in text:  # MariaDB hides no column that a client has to give
        text = text.replace("/*!80023 INVISIBLE */", "INVISIBLE")
    return text.replace("/*!80000 INVISIBLE */", "IGNORED" if version >= (10, 6) else "")


def _for_mysql(text: str, kept: list[str]) -> str:
    text = re.sub("^(\0\\d+\0) (uuid|inet4|inet6)\\b", lambda m: f"{m[1]} {_AS_TEXT[m[2].lower()]}", text, flags=re.IGNORECASE)
    text = re.sub(r"\butf8mb4_uca1400_(?:nopad_)?(ai_ci|as_ci|as_cs)\b", r"utf8mb4_0900_\1", text)
    text = re.sub(r"\butf8mb4_\w+\b", lambda m: _TO_MYSQL.get(m[0], m[0]), text)
    text = re.sub(r"\) IGNORED\b", ") INVISIBLE", text)
    text = re.sub(r" (?:PAGE_CHECKSUM|TRANSACTIONAL)=\d+", "", text)
    text = re.sub("\\s\0(\\d+)\0=\\S+", lambda m: "" if kept[int(m[1])].startswith("`") else m[0], text)
    if _LONG.match(text):
        return re.sub(" DEFAULT (\0\\d+\0)", r" DEFAULT (\1)", text)
    return _parenthesised(text)


def _parenthesised(text: str) -> str:
    """A default that is a function's value stands in parentheses in MySQL, except the present time's."""
    found = re.search(r" DEFAULT (?!current_timestamp\b)(\w+\()", text, re.IGNORECASE)
    if found is None:
        return text
    at, depth = found.end(), 1
    while depth and at < len(text):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
    begin = found.start(1)
    return f"{text[:begin]}({text[begin:at]}){text[at:]}"
