"""The lab's servers themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import Lab

pytestmark = pytest.mark.servers


def test_a_killed_server_starts_again_whoever_has_its_number() -> None:
    """MySQL refuses where the process that its socket's lock names is alive."""
    with Lab() as lab:
        server = lab.start("mysql", "alone")
        server.kill()
        lock = Path(f"{server.socket}.lock")
        lock.write_text("1\n")
        server.start()
        assert server.running
        server.kill()
        assert lock.exists()
    assert not lock.exists()


def test_a_lab_that_ends_leaves_the_others_of_its_process() -> None:
    with Lab() as one:
        server = one.start("mariadb", "alone")
        with Lab() as other:
            other.start("mariadb", "alone")
        assert server.folder.exists()
        server.sql("CREATE DATABASE there")
