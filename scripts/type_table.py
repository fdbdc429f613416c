"""`make matrix`: docs/type-matrix.md from what tests/integration/test_type_matrix.py found.

Usage: python -m type_table FOLDER, the folder that SEGUE_MATRIX named. Fails when a value did not arrive.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.integration.typepool import POOL

PAIRINGS = (("mysql", "mysql"), ("mariadb", "mariadb"), ("mariadb", "mysql"), ("mysql", "mariadb"))
PATHS = ("bytes", "statements")
HEAD = """# Each type, by pairing and path

Written by `make matrix` (`tests/integration/test_type_matrix.py`): for each line a column of the first type is filled with
values at its edges on the source, in a table whose columns are in another order on the target, and both servers are asked
for the values. *Bytes*: row images re-written. *Statements*: the same by INSERT, UPDATE and DELETE. *-*: one of the two
servers has no such type. What is refused, and with which words, is in `tests/unit/test_refusals.py`, a row for each reason.

"""


def cell(found: dict[str, str], name: str, pairing: tuple[str, str], path: str) -> str:
    """One word. Raises ValueError for a value that did not arrive."""
    outcome = found.get(f"{name} by {path}")
    if outcome is not None:
        if outcome != "equal":
            raise ValueError(f"{name}, {' to '.join(pairing)} by {path}: {outcome}")
        return outcome
    return "-"


def main(folder: Path) -> None:
    results = {pairing: json.loads((folder / f"{'-'.join(pairing)}.json").read_text()) for pairing in PAIRINGS}
    lines = ["| type | " + " | ".join(f"{a} to {b}, {path}" for a, b in PAIRINGS for path in PATHS) + " |"]
    lines.append("|" + "---|" * (1 + len(PAIRINGS) * len(PATHS)))
    for name in dict.fromkeys(entry.name for entry in POOL):
        cells = [cell(results[pairing], name, pairing, path) for pairing in PAIRINGS for path in PATHS]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    Path("docs/type-matrix.md").write_text(HEAD + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
