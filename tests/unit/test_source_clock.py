"""Lag is counted by the source's clock, whatever happens to ours."""

from __future__ import annotations

import time

import pytest

from segue.replicate.clock import SourceClock


@pytest.mark.parametrize("jump", [-86400.0, -5.0, 5.0, 86400.0])
def test_a_jump_of_our_clock_is_no_lag(monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    clock = SourceClock()
    source = time.time() + 1000.0  # another machine, whose clock is ahead
    clock.set(source)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    assert clock.since(source - 2.0) == pytest.approx(2.0, abs=1.0)
    assert clock.now() == pytest.approx(source, abs=1.0)


def test_what_is_not_known_or_still_to_come_is_no_lag() -> None:
    clock = SourceClock()
    assert clock.since(0.0) == 0.0
    assert clock.since(clock.now() + 60.0) == 0.0
