"""The replicator process: reads the source's binlog, applies it to the target, remembers how far, in one commit.

    dump (thread) -> packets -> Assembler -> Batch -> Applier -> target, with the progress row in the same commit

Enters: where source and target are, which tables, from which position. Leaves: rows on the target and a status.
It must not know clients, the proxy, switchovers, or which of the two sides is blue.
"""
