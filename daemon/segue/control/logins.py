"""Logins on the target that nobody taught us: a users file, or a second password for the time of the move.

A second password stands beside the account's own, which goes on working. What the account's row held before is written
to a file of mode 0600 in the state directory, and to disk, before the row is touched; it is put back, to the byte, when
the sessions have moved, and at the next start if the daemon died in between.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from segue.errors import ConfigError, SegueError
from segue.log import get_logger
from segue.switchover.server import Server

log = get_logger("control")
_LINE = re.compile(r'"((?:[^"]|"")+)"\s+"((?:[^"]|"")*)"')


def read_users(path: Path) -> dict[str, str]:
    """Users and passwords, one `"user" "password"` a line, quotes doubled within, `;` or `#` begins a comment.

    Raises ConfigError naming the line, never what is in it.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise ConfigError(f"proxy.users_file {path} can be read by others (mode {mode:04o})",
                              mend=f"Run: chmod 600 {path}")  # fmt: skip
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"cannot read proxy.users_file {path}: {reason}", mend="Give a readable file of mode 0600") from None
    users: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip()[0] in ";#":
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise ConfigError(f'{path}, line {number}: not "user" "password"', mend='For example: "app" "secret"')
        users[found[1].replace('""', '"')] = found[2].replace('""', '"')
    return users


class SecondPasswords:
    """Those that are set now, if any."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "second-passwords.json"

    @property
    def any(self) -> bool:
        return self._path.exists()

    async def give(self, server: Server, users: Iterable[str]) -> dict[str, str]:
        """A second password for every account of these users; users that have one now. The rest, with the reason,
        is logged: their sessions are named as not movable."""
        flavour, conn = await server.get()
        rows: list[dict[str, Any]] = []
        for user in sorted(set(users)):
            rows += await flavour.account_rows(conn, user)
        if not rows:
            return {}
        if self.any:
            raise SegueError("second passwords of an earlier move are still set", mend=f"See {self._path}; segue restores them")
        self._write({"side": server.label, "accounts": rows})
        given: dict[str, str] = {}
        for row in rows:
            password = given.get(row["user"]) or secrets.token_urlsafe(24)
            try:
                await flavour.add_password(conn, row, password)
            except SegueError as error:
                log.warning("no second password", user=row["user"], host=row["host"], reason=error.message)
                given.pop(row["user"], None)
                break
            given[row["user"]] = password
        await flavour.reload_accounts(conn)
        return given

    async def restore(self, servers: Iterable[Server]) -> None:
        """Put the rows back as they were. Raises SegueError when that server cannot be asked; the file stays then."""
        if not self.any:
            return
        saved = orjson.loads(self._path.read_bytes())
        server = next((s for s in servers if s.label == saved["side"]), None)
        if server is None:
            return
        flavour, conn = await server.get()
        for row in saved["accounts"]:
            await flavour.restore_account(conn, row)
        await flavour.reload_accounts(conn)
        self._path.unlink()
        self._sync_folder()
        log.info("second passwords removed", side=server.label, accounts=len(saved["accounts"]))

    def _write(self, value: dict[str, Any]) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, orjson.dumps(value))
            os.fsync(handle)
        finally:
            os.close(handle)
        self._sync_folder()

    def _sync_folder(self) -> None:
        handle = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
