"""Control: the process behind `segue run`. Owns the configuration, the journal, the children and the switchover.

Enters: a configuration file and the admin's commands. Leaves: a deployment that runs, and documents about it.
Rows and client bytes never pass through here, so that it answers whatever the others are busy with.

- `deployment`  `Control`: from start to stop, and what it lends to a switchover as its `World`
- `workers`  the proxy workers as one: hold, release, where new ones go
- `feed`  the replicator: which way it runs, and that it runs again after a crash
- `verification`  the verifying process: asked, cancelled
- `begin`  what is looked at, and written down, before the first client is let in
- `reload`  a new configuration for a running daemon
"""

from __future__ import annotations

from segue.control.deployment import Control

__all__ = ["Control"]
