"""A few thousand rounds of the fuzz targets, always the same ones."""

from __future__ import annotations

from tests.fuzz.targets import run


def test_only_own_errors_come_out() -> None:
    run(4000, seed=1)
