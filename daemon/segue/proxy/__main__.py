"""`python -m segue.proxy --fd N`, started by control only."""

from __future__ import annotations

import sys

import uvloop

from segue.child import give_way, harden
from segue.log import configure
from segue.proxy.worker import main

if __name__ == "__main__":
    configure(process="proxy")
    harden()
    give_way()
    uvloop.run(main(int(sys.argv[sys.argv.index("--fd") + 1])))
