"""`python -m segue.replicate --fd N`, started by control only."""

from __future__ import annotations

import sys

import uvloop

from segue.child import harden, short_turns
from segue.log import configure
from segue.replicate.replicator import main

if __name__ == "__main__":
    configure(process="replicator")
    harden()
    short_turns()
    uvloop.run(main(int(sys.argv[sys.argv.index("--fd") + 1])))
