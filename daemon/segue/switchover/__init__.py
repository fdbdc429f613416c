"""The switchover: exchange of the two roles, with guardrails, a fence, a commit point and a journal.

Enters: roles, two servers, the replicator and the proxy workers as things that can be asked.
Leaves: swapped roles and a report, or everything as it was and the reason.
It must not know which side is blue, how a row travels, or how a session is held.

- `machine`  the pure table of states
- `journal`  what survives a crash
- `guardrails/`  what must be true before
- `conductor`  walks the machine: journal, retries, the abort wish, the report
- `stage`  each action on the real world
- `server`  one side: its connection, its fence, and finding out what it does now
"""
