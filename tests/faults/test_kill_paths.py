"""The replicator killed at random while rows go three ways: re-written, by statements, and into a table without key."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from typing import Any

import pytest
from tests.amount import flavours

import workload
from lab import Server

pytestmark = pytest.mark.servers
KILLS = int(os.environ.get("SEGUE_KILLS", "4"))
"""`make campaign-kill` does twenty."""
QUESTIONS = (
    "SELECT id, balance FROM shop.accounts ORDER BY id",
    "SELECT id, client, seq, amount FROM shop.transfers ORDER BY id",
    "SELECT client, seq, note, at FROM shop.entries ORDER BY client, seq",
)


def answers(server: Server) -> list[int]:
    return [hash(tuple(server.sql(q))) for q in QUESTIONS]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("flavour", flavours("mysql"))
def test_killed_with_every_path(make_shop: Callable[..., Any], flavour: str) -> None:
    shop = make_shop(flavour, start=False)
    shop.green.sql("ALTER TABLE shop.accounts MODIFY balance BIGINT NOT NULL FIRST")
    shop.green.sql("ALTER TABLE shop.transfers DROP PRIMARY KEY, MODIFY id BIGINT NOT NULL, ADD UNIQUE KEY (id),"
                   " ADD COLUMN own BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY FIRST")  # fmt: skip
    for server in (shop.blue, shop.green):
        server.sql("ALTER TABLE shop.entries MODIFY id BIGINT NULL, DROP PRIMARY KEY")
    shop.deployment.start()
    load = shop.load(clients=6)
    dice = random.Random(3)
    try:
        for _ in range(KILLS):
            begin = shop.deployment.wait_for(lambda s: s["replication"]["state"] in ("streaming", "catching_up"), 60.0)
            wanted = (begin["replication"]["rows"] or 0) + dice.randint(20, 400)
            shop.deployment.wait_for(lambda s, more=wanted: (s["replication"]["rows"] or 0) >= more, 60.0)
            victim = shop.deployment.pids()["replicate"]
            os.kill(victim, signal.SIGKILL)
            shop.deployment.wait_for(lambda s, old=victim: s["replication"]["details"].get("pid", old) != old, 60.0)
        told = load.stop()
    finally:
        load.kill()
    wanted_rows = answers(shop.blue)
    shop.deployment.wait_for(lambda _s: answers(shop.green) == wanted_rows, 60.0)
    assert workload.verify(shop.green, told["clients"]).good
    assert sum(c["done"] for c in told["clients"]) > 0
