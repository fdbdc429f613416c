"""The switchover: exchange of the two roles, with guardrails, a fence, a commit point and a journal.

Enters: roles, two servers, the replicator and the proxy workers as things that can be asked.
Leaves: swapped roles and a report, or everything as it was and the reason.
It must not know which side is blue, how a row travels, or how a session is held.

- `machine`  the pure table of states
- `journal`  what survives a crash
- `guardrails/`  what must be true before
- `fence`  making one server refuse writes, and finding out what it does now
- `conductor`  walks the machine and does the actions
"""
