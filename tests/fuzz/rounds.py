"""Rounds of a fuzz target that each have a seed, until enough packets were sent; the command line that asks for them."""

from __future__ import annotations

import asyncio
import random
import resource
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

GROWTH_LIMIT = 96 << 10
"""kB that the process may grow by after its first rounds."""


@dataclass(frozen=True, slots=True)
class Target:
    """`begin` gives what runs the round of a seed and says how many packets it sent."""

    begin: Callable[[], Callable[[str], Awaitable[int]]]
    nothing: str
    """What was found when nothing was."""
    seconds: int
    """That one round may take."""
    look_every: int
    """Rounds between looks at the memory."""


def resident() -> int:
    """KB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() >> 10


async def campaign(target: Target, packets: int, seed: str, *, say: bool = False) -> int:
    """Rounds until so many packets were sent. Raises AssertionError naming the round's seed."""

    def hangs(_number: int, _frame: Any) -> None:
        raise TimeoutError(f"a round took more than {target.seconds} s")

    signal.signal(signal.SIGALRM, hangs)
    one_round = target.begin()
    sent = rounds = first = 0
    began = time.monotonic()
    while sent < packets:
        one = f"{seed}-{rounds}" if "-" not in seed else seed
        signal.alarm(target.seconds)
        try:
            sent += await one_round(one)
        except BaseException as error:
            raise AssertionError(f"seed {one}: {error!r}") from error
        finally:
            signal.alarm(0)
        rounds += 1
        if rounds % target.look_every == 0:
            await asyncio.sleep(0)  # what was called later
            first = first or resident()
            grown = resident() - first
            assert grown < GROWTH_LIMIT, f"seed {one}: grew by {grown} kB"
            if say and rounds % (100 * target.look_every) == 0:
                print(f"{sent} packets, {rounds} rounds, {resident()} kB, {time.monotonic() - began:.0f} s", flush=True)
    if say:
        print(f"{sent} packets in {rounds} rounds from seed {seed}: {target.nothing}, {resident()} kB resident "
              f"({resident() - first:+d} since the first rounds), {sent / (time.monotonic() - began):.0f} packets/s")  # fmt: skip
    return sent


def main(target: Target) -> None:
    """`[packets] [seed]` of the command line."""
    packets = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    seed = sys.argv[2] if len(sys.argv) > 2 else str(random.randrange(1 << 30))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    print(f"seed {seed}")
    asyncio.run(campaign(target, packets, seed, say=True))
