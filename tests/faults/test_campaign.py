"""A handful of the campaign's runs with fixed seeds; `make faults` has the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.campaign import one
from faults.catalogue import Plan
from faults.rig import Rig

pytestmark = pytest.mark.servers
SEEDS = {
    # kill-control at state-committed, kill-source at answer-fence, kill-all at state-opening, kill-target at answer-open-new
    "mysql": (97, 730, 125, 20),
    # kill-control-source at state-drained, cut-all-source at state-fenced, kill-proxy at state-draining,
    # kill-control-target at state-opening
    "mariadb": (18, 1320, 1139, 360),
}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_runs_of_the_campaign(flavour: str, tmp_path: Path) -> None:
    rig = Rig(flavour, tmp_path / "rig", disks=False)  # type: ignore[arg-type] # one of the two
    try:
        for seed in SEEDS[flavour]:
            result = one(rig, Plan.of(seed, disks=False))
            print(result.line(flavour))
            assert not result.wrong, result.line(flavour)
            assert not result.told, result.line(flavour)
    finally:
        rig.close()
