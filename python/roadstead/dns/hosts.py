"""The system's hosts file: names that no server is asked for (hosts(5))."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

from roadstead.dns.answer import Answer, Family

PATH = Path("/etc/hosts")


class HostsFile:
    """Reads the file again when it was changed. A file that is not there has no names."""

    __slots__ = ("_names", "_path", "_seen")

    def __init__(self, path: str | os.PathLike[str] = PATH) -> None:
        self._path = Path(path)
        self._seen: tuple[int, int] | None = None
        self._names: dict[str, list[str]] = {}

    def look_up(self, name: str, family: Family) -> Answer | None:
        """The addresses it has of the family; None: it does not know the name, or not for this family. ttl is 0."""
        self._refresh()
        known = self._names.get(name.rstrip(".").lower(), ())
        found = tuple([address for address in known if family == "ALL" or (":" in address) == (family == "V6_ONLY")])
        return Answer(found) if found else None

    def _refresh(self) -> None:
        try:
            stat = self._path.stat()
        except OSError:
            self._seen, self._names = None, {}
            return
        seen = (stat.st_mtime_ns, stat.st_size)
        if seen != self._seen:
            self._seen, self._names = seen, _read(self._path.read_text(encoding="utf-8", errors="replace"))


def _read(text: str) -> dict[str, list[str]]:
    """Names in lower case → addresses in order. Lines that do not begin with an address are passed over, as the system
    does."""
    names: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) < 2:
            continue
        try:
            address = str(ipaddress.ip_address(words[0].partition("%")[0]))
        except ValueError:
            continue
        for name in words[1:]:
            known = names.setdefault(name.rstrip(".").lower(), [])
            if address not in known:
                known.append(address)
    return names
