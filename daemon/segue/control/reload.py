"""A new configuration for a running daemon: what changed, and what cannot."""

from __future__ import annotations

from segue.config import Config
from segue.errors import ConfigError


def changes(old: Config, new: Config) -> list[str]:
    """The sections that changed. Raises ConfigError naming each key that cannot change while running."""
    fixed = [k for k in ("deployment", "admin") if getattr(new, k) != getattr(old, k)]
    fixed += [f"proxy.{k}" for k in ("listen", "standby_listen", "workers") if getattr(new.proxy, k) != getattr(old.proxy, k)]
    for side in ("blue", "green"):
        one, two = getattr(old, side), getattr(new, side)
        fixed += [f"{side}.{k}" for k in ("host", "port") if getattr(one, k) != getattr(two, k)]
    if fixed:
        raise ConfigError(f"cannot change while running: {', '.join(fixed)}", mend="Restart segue run")
    return [k for k in type(new).model_fields if getattr(new, k) != getattr(old, k)]
