"""Executables of the operator's, called at named points with the facts.

before_check, before_pause   a non-zero exit, a time-out or a file that cannot be run vetoes the switchover
after_commit                 beside the opening, so that clients do not wait for it
after_switchover, on_abort   when all is over

Facts come as JSON on standard input and as environment: SEGUE_HOOK, SEGUE_DEPLOYMENT, SEGUE_SOURCE, SEGUE_TARGET,
SEGUE_SWITCHOVER (its number), and SEGUE_OUTCOME, SEGUE_SOURCE_POSITION, SEGUE_TARGET_POSITION once they are known.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import IO, Any, Final

import orjson

from segue.config import Hooks
from segue.errors import Refused
from segue.log import get_logger

log = get_logger("hooks")
_SHOWN: Final = ("deployment", "source", "target", "switchover", "outcome", "source_position", "target_position")
_OUTPUT: Final = 2000


async def call(hooks: Hooks, point: str, facts: dict[str, Any]) -> None:
    """Run the hook of `point`, where there is one. Raises Refused with its last words when it does not end with 0."""
    path: Path | None = getattr(hooks, point)
    if path is None:
        return
    env = os.environ | {"SEGUE_HOOK": point}
    env |= {f"SEGUE_{k.upper()}": str(facts[k]) for k in _SHOWN if facts.get(k) is not None}
    try:
        with _as_input(orjson.dumps({"hook": point} | facts, default=str)) as given:
            process = await asyncio.create_subprocess_exec(
                str(path), stdin=given, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT, env=env, start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise Refused(f"hook {point} {path} cannot be run: {error.strerror}",
                      mend="Make it an executable file, or remove it from [hooks]") from None  # fmt: skip
    try:
        async with asyncio.timeout(hooks.timeout):
            out, _ = await process.communicate()
    except (TimeoutError, asyncio.CancelledError) as error:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what it has started, too
        await process.wait()
        if isinstance(error, asyncio.CancelledError):
            raise
        raise Refused(f"hook {point} {path} did not end within {hooks.timeout:g} s", mend="Raise hooks.timeout or mend it") from None
    words = out.decode(errors="replace").strip()[-_OUTPUT:]
    if process.returncode:
        raise Refused(f"hook {point} {path} ended with {process.returncode}{f': {words}' if words else ''}",
                      mend="The hook says why; mend that, or remove it from [hooks]")  # fmt: skip
    log.info("hook", point=point, path=str(path), said=words or None)


def _as_input(data: bytes) -> IO[bytes]:
    """A file in memory that holds `data`. A pipe would break under a hook that ends without reading it."""
    file = os.fdopen(os.memfd_create("segue-hook"), "w+b")
    file.write(data)
    file.seek(0)
    return file


async def told(hooks: Hooks, point: str, facts: dict[str, Any]) -> str | None:
    """The same where nothing can be vetoed any more: the reason of a failure, logged."""
    try:
        await call(hooks, point, facts)
    except Refused as error:
        log.error("hook failed", point=point, reason=error.message, mend=error.mend)  # noqa: TRY400 - expected
        return error.message
    return None
