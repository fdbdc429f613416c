"""A few thousand rounds of the fuzz targets, always the same ones."""

from __future__ import annotations

import asyncio

import pytest

from tests.fuzz import compiled
from tests.fuzz.protocol import campaign
from tests.fuzz.targets import run


def test_sessions_between_two_that_misbehave() -> None:
    assert asyncio.run(campaign(20_000, "1")) >= 20_000


def test_only_own_errors_come_out() -> None:
    run(4000, seed=1)


def test_the_compiled_path_writes_what_the_python_path_writes() -> None:
    pytest.importorskip("segue.proxy._pump", reason="no compiler where Segue was installed")
    before = compiled.Counting.seen["commands"]
    assert asyncio.run(compiled.campaign(20_000, "1")) >= 20_000
    assert compiled.Counting.seen["commands"] - before > 50, "they were inside"
