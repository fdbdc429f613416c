"""A few thousand rounds of the fuzz targets, always the same ones."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from segue.proxy import hot
from segue.wire.framing import packet
from tests.fuzz import compiled, protocol
from tests.fuzz.rounds import campaign
from tests.fuzz.targets import run


def test_sessions_between_two_that_misbehave() -> None:
    assert asyncio.run(campaign(protocol.TARGET, 20_000, "1")) >= 20_000


def test_only_own_errors_come_out() -> None:
    run(4000, seed=1)


def test_the_compiled_path_writes_what_the_python_path_writes() -> None:
    pytest.importorskip("segue.proxy._pump", reason="no compiler where Segue was installed")
    before = compiled.Counting.seen["commands"]
    assert asyncio.run(campaign(compiled.TARGET, 20_000, "1")) >= 20_000
    assert compiled.Counting.seen["commands"] - before > 50, "they were inside"


async def test_a_bug_in_one_session_keeps_no_bytes_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("segue.proxy._pump", reason="no compiler where Segue was installed")
    one = compiled.Round(compiled.Alone(), "two-8", compiled=True)
    one.sides = [compiled.Side(one.worker, random.Random(n), clean=True) for n in range(3)]
    for number in range(4):
        for side in one.sides:
            side.script[number][0].say(side.script[number][1])
        await one.deliver(0)
    for side in one.sides:
        one.pump.arm_soon(side.session)
    await one.deliver(0)
    assert one.pump.status()["armed"] == 3
    real = hot.client_chunk

    def fails(session: Any, data: bytes) -> None:
        if session is one.sides[0].session:
            raise RuntimeError("a bug")
        real(session, data)

    monkeypatch.setattr(hot, "client_chunk", fails)
    command = packet(b"\x03SET @a = 1", 0)
    before = [side.server.count for side in one.sides]
    for side in one.sides:
        side.client.say(command)
        side.client.turn(reads=False)
    await one.deliver(0)
    assert [s.server.count - n for s, n in zip(one.sides, before, strict=True)] == [0, len(command), len(command)]
    assert [s.session.phase == compiled.Phase.CLOSED for s in one.sides] == [True, False, False]
