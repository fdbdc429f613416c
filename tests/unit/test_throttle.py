"""How long a copy rests."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from segue.config import Endpoint, Seed
from segue.copy import throttle as module
from segue.copy.throttle import Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.naps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module.time, "monotonic", made.monotonic)
    monkeypatch.setattr(module.asyncio, "sleep", made.sleep)
    return made


def rested(clock: Clock, throttle: Throttle) -> float:
    began = clock.now
    asyncio.run(throttle.wait())
    return clock.now - began


@pytest.mark.parametrize(
    ("settings", "size", "seconds", "rest"),
    [
        (Seed(), 1_000_000, 0.5, 0.0),
        (Seed(share=0.5), 50_000, 0.004, 0.004),  # as long as it worked, and no whole step more
        (Seed(share=0.25), 1_000_000, 0.2, 0.6),
        (Seed(max_rate_mb=1.0), 3_000_000, 0.5, 2.0),  # a second of rate may be saved up
    ],
)
def test_rest(clock: Clock, settings: Seed, size: int, seconds: float, rest: float) -> None:
    throttle = Throttle(settings, cast("Endpoint", None), "blue")
    throttle.moved(size, seconds)
    assert rested(clock, throttle) == pytest.approx(rest)
    assert rested(clock, throttle) == 0.0


def test_a_loaded_source_is_waited_for(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    throttle = Throttle(Seed(), cast("Endpoint", None), "blue")
    throttle.reason = "Threads_running is 40 on the source"

    async def calms_down(seconds: float) -> None:
        await clock.sleep(seconds)
        if len(clock.naps) == 3:
            throttle.reason = None

    monkeypatch.setattr(module.asyncio, "sleep", calms_down)
    assert rested(clock, throttle) > 0.0
    assert len(clock.naps) == 3
