"""Which package archive this machine has, and what a package is called there. Without I/O.

Debian: the suites that the sets name, sid among them, from the mirror that the machine uses already.
Ubuntu: its own release, where names may carry versions (mysql-server-core-8.0): the newest is taken.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

_KEYRINGS: Final = "/usr/share/keyrings"


@dataclass(frozen=True, slots=True)
class Archive:
    """One distribution's packages at one address."""

    address: str
    keyring: str
    components: str
    release: str | None = None
    """Codename of the only release that is used; None where a set's own suite is."""

    def sources(self, suite: str) -> str:
        """The text of a sources.list; `suite` is Debian's (sources.list(5))."""
        suites = (self.release, f"{self.release}-updates") if self.release else (suite,)
        return "".join(f"deb [signed-by={self.keyring}] {self.address} {one} {self.components}\n" for one in suites)


def choose(os_release: str, sources: Iterable[str]) -> Archive | None:
    """By os-release(5) and the texts of the machine's apt sources; None where there is no fitting mirror among them."""
    facts = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', os_release, re.MULTILINE))
    texts = list(sources)
    codename = facts.get("UBUNTU_CODENAME") or (facts.get("VERSION_CODENAME") if facts.get("ID") == "ubuntu" else None)
    if codename:
        found = mirrors(texts, "ubuntu(?:-ports)?")
        return Archive(found[0], f"{_KEYRINGS}/ubuntu-archive-keyring.gpg", "main universe", codename) if found else None
    found = mirrors(texts, "debian")
    return Archive(found[0], f"{_KEYRINGS}/debian-archive-keyring.gpg", "main") if found else None


def mirrors(texts: Iterable[str], distribution: str) -> list[str]:
    """Addresses named in apt sources (both formats) that carry component main and end in the distribution's name."""
    found: list[str] = []
    for text in texts:
        for line in text.splitlines():
            match = re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+\S+\s+.*\bmain\b", line)
            if match:
                found.append(match[1])
        for block in re.split(r"\n\s*\n", text):
            uris = re.search(r"^URIs:\s*(\S+)", block, re.MULTILINE)
            if uris and re.search(r"^Components:.*\bmain\b", block, re.MULTILINE):
                found.append(uris[1])
    fitting = [u.rstrip("/") for u in found if re.search(rf"/{distribution}/?$", u)]
    return list(dict.fromkeys(fitting))


def resolve(wanted: str, known: Collection[str]) -> str | None:
    """The package that is `wanted` among the names that an archive has: itself, or the newest whose name differs in
    version only (php8.2-cli, php8.3-cli; mysql-server-core, mysql-server-core-8.4)."""
    if wanted in known:
        return wanted
    pattern = re.compile(re.sub(r"\d+(?:\\\.\d+)*", r"\\d+(?:\\.\\d+)*", re.escape(wanted)) + r"(?:-\d+(?:\.\d+)*)?")
    fitting = [name for name in known if pattern.fullmatch(name)]
    return max(fitting, key=_versions, default=None)


def _versions(package: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", package)]
