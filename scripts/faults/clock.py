"""A wall clock that can jump, for single processes; the monotonic clock and all limits run on, as on a real machine.

By a library that its processes preload (`jump.c`). libfaketime opens a file whenever it is asked for the time, if a jump
has to be seen at once: with that a server took a minute to start.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("jump.c")
COMPILER = shutil.which("cc")


class Clock:
    """The clock of one machine: every process started with `env` has it. Its files are in `folder`."""

    def __init__(self, folder: Path, name: str) -> None:
        library = folder / "jump.so"
        if not library.exists():
            assert COMPILER is not None
            subprocess.run([COMPILER, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"], check=True)
        self._file = folder / f"clock-{name}"
        self._file.write_bytes(struct.pack("q", 0))
        self.env = {"LD_PRELOAD": str(library), "SEGUE_CLOCK_FILE": str(self._file)}

    def jump(self, seconds: int) -> None:
        """That many seconds from the true time, from now on."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("q", seconds))
