"""The fault campaign: a deployment under load, one fault at one step of a switchover, and a checker that knows all.

Enters: a seed. Leaves: one line a run with what was done, how long service took to come back, and any anomaly.

- `tcp`  a TCP proxy that cuts, stalls and stops at a statement
- `clients`  a process of clients that write down what they were told; and the watcher, that tries to write to both sides
- `history`  what the clients were told against what the servers hold
- `rig`  two servers, a daemon behind fault proxies, kept over many runs
- `catalogue`  the faults and the moments
- `campaign`  the loop: `python -m faults`
"""
