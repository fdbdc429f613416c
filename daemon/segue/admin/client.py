"""The admin socket's client end, for the command line: blocking, standard library."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from segue.errors import Refused, SegueError


class NotRunning(SegueError):  # noqa: N818 - names what is
    """No daemon answers on the socket."""


def ask(
    path: Path, command: str, args: dict[str, Any] | None = None,
    on_progress: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Send one command and wait for its end.

    Raises NotRunning when no daemon is there, Refused with the daemon's reason otherwise; a report that came
    with the refusal is its `value` attribute.
    """
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(str(path))
    except PermissionError:
        raise NotRunning(f"no permission for the admin socket {path}", mend="Join its group or use sudo") from None
    except OSError as error:
        raise NotRunning(f"no segue answers on {path}: {error.strerror}", mend="Start it: segue run -c FILE") from None
    with sock, sock.makefile("rb") as lines:
        sock.sendall(orjson.dumps({"command": command, "args": args or {}}) + b"\n")
        for line in lines:
            message = orjson.loads(line)
            if "progress" in message:
                if on_progress is not None:
                    on_progress(message["progress"])
                continue
            if message["ok"]:
                return dict(message["value"] or {})
            refusal = Refused(message["error"], mend=message.get("mend", ""))
            refusal.value = message.get("value")  # type: ignore[attr-defined]
            raise refusal
    raise NotRunning("the daemon ended before it answered", mend="See its log; then segue status")
