"""Questions to a live session about what it carries, by flavour. Pure: SQL out, answers in.

All run inside the client's own session, so they are ASCII, name no table that begins a transaction, and set their own
LIMIT against a session's sql_select_limit.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Questions:
    """One flavour's. `names` is empty where control has to ask the server's own tables instead."""

    roles: bool
    names: bytes
    no_role: bytes

    def general(self, locks: Collection[bytes]) -> bytes:
        """One row: FOUND_ROWS, ROW_COUNT, LAST_INSERT_ID, collation_connection, the role in hex, then for each lock
        (an SQL literal) whether it is ours."""
        role = b"HEX(CURRENT_ROLE())" if self.roles else b"NULL"
        held = b"".join(b", IS_USED_LOCK(" + lock + b") = CONNECTION_ID()" for lock in locks)
        return b"SELECT FOUND_ROWS(), ROW_COUNT(), LAST_INSERT_ID(), @@collation_connection, " + role + held + b" LIMIT 1"

    def role(self, value: bytes | None) -> bytes:
        """What SET ROLE wants, of the general answer's value; empty where there are no roles."""
        if not self.roles:
            return b""
        name = bytes.fromhex(value.decode("ascii")) if value else b""
        if name in (b"", b"NONE"):
            return b"NONE"
        return name if self.no_role == b"NONE" else b"`" + name.replace(b"`", b"``") + b"`"


MYSQL: Final = Questions(roles=True, names=b"", no_role=b"NONE")
MYSQL_5: Final = Questions(roles=False, names=b"", no_role=b"")
MARIADB: Final = Questions(
    roles=True, no_role=b"",
    names=b"SELECT HEX(VARIABLE_NAME) FROM information_schema.USER_VARIABLES LIMIT 18446744073709551615",
)  # fmt: skip


def questions_for(version: str) -> Questions:
    """By the version in a server's greeting."""
    if "mariadb" in version.lower():
        return MARIADB
    return MYSQL_5 if version.startswith("5.") else MYSQL
