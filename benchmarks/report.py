"""What every benchmark ends with: an aligned table for the reader, JSON in results/ for programs."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
Cell = str | int | float | None


def number(value: Cell) -> str:
    """A figure with the digits that a reader needs: three that count, no more than two behind the point."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    size = abs(value)
    if isinstance(value, int) or size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def ratio(value: float, rival: float) -> float | None:
    """How many times `rival`; None where the rival has nothing to show."""
    return value / rival if rival else None


def times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least `part` (0 to 1) of all do not exceed; 0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -int(-part * len(ordered) // 1) - 1))]


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0


def table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Plain text: words to the left, figures to the right."""
    texts = [[number(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(headers), *texts]) for i in range(len(headers))]
    words = [all(isinstance(row[i], str) and not row[i].endswith("x") for row in rows) for i in range(len(headers))]  # type: ignore[union-attr]

    def line(cells: Sequence[str]) -> str:
        padded = (c.ljust(w) if word else c.rjust(w) for c, w, word in zip(cells, widths, words, strict=True))
        return "  ".join(padded).rstrip()

    return "\n".join([line(headers), line(["-" * w for w in widths]), *(line(t) for t in texts)])


def machine() -> dict[str, Any]:
    """Facts without which a figure means nothing."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": model,
        "memory_gib": round(memory / (1 << 30), 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


class Report:
    """Collects what one benchmark found; `write` puts it where programs look."""

    def __init__(self, name: str, title: str, settings: dict[str, Any]) -> None:
        self.name = name
        self.title = title
        self.value: dict[str, Any] = {"benchmark": name, "title": title, "machine": machine(), "settings": settings,
                                      "versions": {}, "results": []}  # fmt: skip

    def version(self, what: str, text: str) -> None:
        self.value["versions"][what] = text

    def add(self, **figures: Any) -> None:
        self.value["results"].append(figures)

    def note(self, **figures: Any) -> None:
        """Figures of the whole run, beside the results."""
        self.value.update(figures)

    def show(self, headers: Sequence[str], rows: Sequence[Sequence[Cell]], *, heading: str | None = None) -> None:
        """One table under its heading; the first one also says on what it was measured."""
        print(f"\n{heading or self.title}\n\n{table(headers, rows)}\n", flush=True)

    def write(self) -> Path:
        """results/NAME.json; the path. The machine's facts are printed beside it."""
        facts = self.value["machine"]
        versions = ", ".join(f"{what} {text}" for what, text in self.value["versions"].items())
        print(f"{facts['cores']} cores {facts['cpu']}, load before {facts['load_before']:.1f}, Python {facts['python']}")
        print(f"{versions}; {facts['date']}")
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.name}.json"
        work = path.with_suffix(".tmp")
        work.write_text(json.dumps(self.value, indent=2, default=str) + "\n")
        work.replace(path)
        print(f"written to {path}", flush=True)
        return path
