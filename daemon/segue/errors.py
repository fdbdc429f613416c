"""The errors an operator may see. Each says what is wrong and where (`message`) and what to do (`mend`).

Nothing here ever carries a password; texts of servers are passed on, statements of ours with secrets are not.
"""

from __future__ import annotations


class SegueError(Exception):
    """Base of all expected errors: shown as one clear text, never as a traceback."""

    def __init__(self, message: str, *, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.message}. {self.mend}" if self.mend else self.message


class ConfigError(SegueError):
    """The configuration cannot be used."""


class ServerError(SegueError):
    """A database server answered with an error packet."""

    def __init__(self, code: int, message: str, *, where: str = "", mend: str = "") -> None:
        text = f"{where}: {message} (error {code})" if where else f"{message} (error {code})"
        super().__init__(text, mend=mend)
        self.code = code
        self.text = message
        self.where = where


class ConnectionLost(ServerError):  # noqa: N818 - the field's name for it
    """The connection to a server could not be made or went away; what was under way is of unknown outcome."""


class PeerGone(SegueError):  # noqa: N818 - names what happened
    """Another process of Segue ended while it was asked something."""


class Refused(SegueError):  # noqa: N818 - names what happened
    """A command was understood and not done, with nothing changed."""
