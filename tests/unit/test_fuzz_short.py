"""A few thousand rounds of the fuzz targets, always the same ones."""

from __future__ import annotations

import asyncio

from tests.fuzz.protocol import campaign
from tests.fuzz.targets import run


def test_sessions_between_two_that_misbehave() -> None:
    assert asyncio.run(campaign(20_000, "1")) >= 20_000


def test_only_own_errors_come_out() -> None:
    run(4000, seed=1)
