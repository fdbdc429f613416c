"""Hooks as processes: what they are given, and that none has to take it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import uvloop

from segue.config import Hooks
from segue.switchover import hooks


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def called(path: Path, times: int, **facts: Any) -> list[BaseException | None]:
    """What became of `times` calls at once, on the loop that the daemon runs on."""

    async def go() -> list[BaseException | None]:
        settings = Hooks(before_check=path)
        return await asyncio.gather(*(hooks.call(settings, "before_check", facts) for _ in range(times)), return_exceptions=True)

    return uvloop.run(go())


def test_a_hook_need_not_read_what_it_is_told(tmp_path: Path) -> None:
    deaf = script(tmp_path / "deaf", "exec 0<&-; exit 0")
    for _ in range(5):
        assert called(deaf, 20, more="x" * 300_000) == [None] * 20


def test_a_hook_gets_all_of_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert called(script(tmp_path / "tell", f"cat > {out}"), 1, more="x" * 300_000) == [None]
    assert json.loads(out.read_text()) == {"hook": "before_check", "more": "x" * 300_000}


def test_a_hook_ends_with_a_reason(tmp_path: Path) -> None:
    (error,) = called(script(tmp_path / "veto", "echo not now; exit 3"), 1)
    assert "ended with 3: not now" in str(error)
