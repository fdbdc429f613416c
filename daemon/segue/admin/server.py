"""The admin socket's server end, inside control."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import orjson

from segue.control import Control
from segue.errors import ConfigError, Refused, SegueError
from segue.log import get_logger

log = get_logger("admin")
LINE_LIMIT = 1 << 20
PROGRESS_SECONDS = 0.1
COMPARING_SECONDS = 0.5
DEFAULT_TIMEOUT = 300.0


class AdminServer:
    """Answers commands; one connection may send several, one after another."""

    def __init__(self, control: Control, path: Path) -> None:
        self._control = control
        self._path = path
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises ConfigError when the place cannot be used or another daemon listens there."""
        path = self._path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_socket():
                _refuse_live(path)
                path.unlink()
            old = os.umask(0o117)  # 0660 from the first moment
            try:
                self._server = await asyncio.start_unix_server(self._serve, str(path), limit=LINE_LIMIT)
            finally:
                os.umask(old)
        except OSError as error:
            raise ConfigError(
                f"cannot make admin.socket {path}: {error.strerror or error}",
                mend="Create its directory for the user that runs segue",
            ) from None

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(OSError):
                self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
            while line := await reader.readline():
                answer = await self._answer(line, writer)
                writer.write(orjson.dumps(answer, default=str) + b"\n")
                await writer.drain()
        writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> dict[str, Any]:
        try:
            request = orjson.loads(line)
            command, args = str(request["command"]), dict(request.get("args") or {})
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return {"ok": False, "error": "not a command of segue", "mend": "Use the segue command line"}
        job = self._control.spawn(self._do(command, args))
        try:
            if command in ("switchover", "rollback"):
                await self._show_progress(job, writer)
            elif command == "verify":
                await self._show_comparing(job, writer)
            value = await asyncio.shield(job)
            return {"ok": True, "value": value}
        except SegueError as error:
            answer = {"ok": False, "error": error.message, "mend": error.mend}
            if command in ("switchover", "rollback"):
                answer["value"] = self._control.conductor.last
            return answer
        except Exception as error:  # a bug in one command must not end the daemon
            log.exception("command failed", command=command)
            return {"ok": False, "error": f"internal error: {error!r}", "mend": "See the daemon's log"}

    async def _show_progress(self, job: asyncio.Task[Any], writer: asyncio.StreamWriter) -> None:
        last = None
        while not job.done():
            phase = str(self._control.conductor.phase)
            if phase != last and not writer.is_closing():
                last = phase
                writer.write(orjson.dumps({"progress": {"phase": phase}}) + b"\n")
            await asyncio.wait({job}, timeout=PROGRESS_SECONDS)

    async def _show_comparing(self, job: asyncio.Task[Any], writer: asyncio.StreamWriter) -> None:
        """A comparison whose asker has gone is cancelled: nobody would read its result."""
        while not job.done():
            await asyncio.wait({job}, timeout=COMPARING_SECONDS)
            progress = (await self._control.verification.status())["progress"]
            if progress and not job.done():
                writer.write(orjson.dumps({"progress": progress}) + b"\n")
            if writer.transport.is_closing():
                await self._control.verification.cancel()
                return

    async def _do(self, command: str, args: dict[str, Any]) -> dict[str, Any]:
        control = self._control
        match command:
            case "status":
                return await control.status()
            case "check":
                return await control.check_all()
            case "switchover" if args.get("dry_run"):
                return await control.dry_run(allow=_ids(args), force=bool(args.get("force")))
            case "switchover":
                timeout = float(args.get("timeout") or DEFAULT_TIMEOUT)
                return await control.switchover(timeout, allow=_ids(args), force=bool(args.get("force")))
            case "rollback":
                return await control.rollback(float(args.get("timeout") or DEFAULT_TIMEOUT), allow=_ids(args))
            case "finalize":
                return await control.finalize()
            case "verify":
                return await control.verify([str(t) for t in args.get("tables") or ()], repair=bool(args.get("repair")))
            case "seed":
                return await _seed(control, args)
            case "pause":
                return await control.pause(args.get("timeout"))
            case "skip-ddl":
                return await control.feed.skip_ddl()
            case "resume":
                return await control.resume()
            case "reload":
                return await control.reload()
        raise Refused(f"this daemon knows no command '{command}'", mend="Are segue and the daemon of one version?")


async def _seed(control: Control, args: dict[str, Any]) -> dict[str, Any]:
    action = str(args.get("action", "start"))
    options = {k: bool(args.get(k)) for k in ("users", "overwrite", "again", "clone")} if action == "start" else {}
    return await control.seed(action, **options)


def _ids(args: dict[str, Any]) -> list[str]:
    return [str(one) for one in args.get("allow") or ()]


def _refuse_live(path: Path) -> None:
    probe = socket.socket(socket.AF_UNIX)
    try:
        probe.connect(str(path))
    except OSError:
        return
    finally:
        probe.close()
    raise ConfigError(f"another segue answers on admin.socket {path}", mend="Stop it, or use another socket")
