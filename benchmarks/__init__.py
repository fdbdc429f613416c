"""Benchmarks: Segue beside what it competes with, in one run, on the same servers with production's durability.

apply.py    the same backlog by the servers' own parallel replication and by Segue
lag.py      how old the target is while the source runs at half of its peak
proxy.py    sysbench directly, through HAProxy, MySQL Router and Segue's proxy, in turns
idle.py     memory of idle clients, CPU of an idle daemon

report.py   the table on the terminal, the JSON in results/, facts of the machine
rivals.py   what apply.py compares; routes.py: what proxy.py compares
sysbench.py, processes.py, servers.py   load, CPU and memory of processes, servers with equal data

Each file is run by itself: `.venv/bin/python benchmarks/apply.py --help`, or all by `make bench`. Absolute
figures belong to the machine; the ratios are what to read.
"""
