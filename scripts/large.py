"""One very large transaction and one very large value: `python -m large --flavour mysql --rows 1000000 --megabytes 64`.

Prints the replicator's memory before and at its highest, and what it says about a value that does not fit the
target's max_allowed_packet, and that it goes on when the limit has been raised.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from lab import Deployment, Lab, Server

DIGITS = "(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"


def memory(deployment: Deployment, what: str) -> int:
    """Of the replicator, in kB: VmRSS (now) or VmHWM (highest)."""
    text = Path(f"/proc/{deployment.pids()['replicate']}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith(what)).split()[1])


def wait_equal(deployment: Deployment, blue: Server, green: Server, limit: float) -> None:
    wanted = blue.sql("CHECKSUM TABLE shop.large")[0][1]
    deployment.wait_for(lambda _s: green.sql("CHECKSUM TABLE shop.large")[0][1] == wanted, limit)


def large_transaction(deployment: Deployment, blue: Server, green: Server, rows: int) -> tuple[int, int, float]:
    """Insert, update and delete so many rows in one transaction. (kB before, kB highest, seconds to apply)."""
    before = memory(deployment, "VmRSS")
    with blue.connect(database="shop", autocommit=False) as conn, conn.cursor() as cursor:
        tables = " ".join(f"{'JOIN ' if n else ''}{DIGITS} t{n}" for n in range(6))
        number = " + ".join(f"t{n}.d * {10**n}" for n in range(6))
        for part in range(-(-rows // 1_000_000)):
            cursor.execute(f"INSERT INTO large SELECT {part * 1_000_000} + {number}, REPEAT('x', 90), NULL FROM {tables}"
                           f" HAVING 1 LIMIT {min(rows, 1_000_000)}")  # fmt: skip
        cursor.execute("UPDATE large SET v = CONCAT(v, 'y') WHERE id % 10 = 0")
        cursor.execute("DELETE FROM large WHERE id % 10 = 1")
        conn.commit()
    began = time.monotonic()
    wait_equal(deployment, blue, green, 600.0)
    return before, memory(deployment, "VmHWM"), time.monotonic() - began


def large_value(deployment: Deployment, blue: Server, green: Server, megabytes: int) -> str:
    """A value larger than the target's packets; what was said, before the limit was raised as it says."""
    blue.sql(f"SET GLOBAL max_allowed_packet = {megabytes + 64} * 1048576")
    blue.sql(f"INSERT INTO shop.large VALUES (-1, 'value', REPEAT('b', {megabytes} * 1048576))")
    told = deployment.wait_for(lambda s: s["replication"]["state"] == "stopped", 120.0)["replication"]
    green.sql(told["mend"].removeprefix("On the target: ").rstrip(";"))
    wait_equal(deployment, blue, green, 240.0)
    return f"{told['error']} -> {told['mend']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flavour", choices=("mysql", "mariadb"), default="mysql")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--megabytes", type=int, default=64)
    args = parser.parse_args()
    with Lab() as lab, tempfile.TemporaryDirectory() as folder:
        blue, green = lab.pair(args.flavour, args.flavour, max_disk=8 << 30)
        deployment = Deployment(Path(folder) / "deployment", blue, green)
        for server in (blue, green):
            server.sql("CREATE TABLE shop.large (id INT PRIMARY KEY, v VARCHAR(100), b LONGBLOB)")
        try:
            deployment.start()
            before, highest, seconds = large_transaction(deployment, blue, green, args.rows)
            print(f"{args.flavour}: {args.rows} rows inserted, a tenth updated, a tenth deleted, in one transaction: applied"
                  f" {seconds:.1f} s after its commit; replicator {before / 1024:.0f} MB before, {highest / 1024:.0f} MB at most")  # fmt: skip
            print(f"{args.flavour}: a value of {args.megabytes} MB: {large_value(deployment, blue, green, args.megabytes)};"
                  f" then equal, replicator {memory(deployment, 'VmHWM') / 1024:.0f} MB at most")  # fmt: skip
        finally:
            deployment.stop()


if __name__ == "__main__":
    main()
