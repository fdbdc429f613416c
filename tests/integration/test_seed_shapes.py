"""The sample databases of scripts/shapes.py, seeded under writes and proven equal, also between the flavours."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.amount import WHOLE
from tests.integration.test_seed_mapped import PAIRINGS, seeded_under_load

import shapes
from lab import Deployment, Server

pytestmark = pytest.mark.servers
SETTINGS = "[seed]\nturn = 0.3\nchunk_bytes = 50000\nmax_rate_mb = 2.0\nlanes = 2"


@pytest.mark.timeout(300)
@pytest.mark.slow
@pytest.mark.parametrize("pairing", PAIRINGS if WHOLE else PAIRINGS[:2], ids="-".join)
def test_sample_databases_arrive(
    pairs: Callable[[str], tuple[Server, Server]], tmp_path: Path, pairing: tuple[str, str]
) -> None:
    blue, green = pairs(pairing[0])[0], pairs(pairing[1])[1]
    shapes.fill(blue, 1000)
    deployment = Deployment(tmp_path / "d", blue, green, schemas=tuple(shapes.SHAPES), replicate=SETTINGS)
    if green.flavour == "mysql":  # views and triggers whose definer is root
        green.sql("GRANT SYSTEM_USER ON *.* TO segue@'%'")
    try:
        seeded_under_load(deployment, shapes.WRITES, random.Random(3))
        assert "left something undone" not in deployment.tail(1000)
        assert green.sql("SELECT @@GLOBAL.log_bin_trust_function_creators") == [(0,)]
        for kind, names in (("TABLES", "TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE"), ("TRIGGERS", "TRIGGER_NAME, EVENT_OBJECT_TABLE"),
                            ("ROUTINES", "ROUTINE_NAME, ROUTINE_TYPE")):  # fmt: skip
            column = "ROUTINE_SCHEMA" if kind == "ROUTINES" else "TRIGGER_SCHEMA" if kind == "TRIGGERS" else "TABLE_SCHEMA"
            query = f"SELECT {names} FROM information_schema.{kind} WHERE {column} IN ('rental', 'office')"
            assert sorted(green.sql(query)) == sorted(blue.sql(query))
        keys = "SELECT CONSTRAINT_NAME, TABLE_NAME, REFERENCED_TABLE_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS"
        assert sorted(green.sql(keys)) == sorted(blue.sql(keys))
        assert green.sql("SELECT COUNT(*) FROM rental.customers") == blue.sql("SELECT COUNT(*) FROM rental.customers")
    finally:
        deployment.stop()
