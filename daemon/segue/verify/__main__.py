"""`python -m segue.verify --fd N`, started by control only."""

from __future__ import annotations

import sys

import uvloop

from segue.child import harden
from segue.log import configure
from segue.verify.process import main

if __name__ == "__main__":
    configure(process="verify")
    harden()
    uvloop.run(main(int(sys.argv[sys.argv.index("--fd") + 1])))
