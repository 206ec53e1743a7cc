"""Host names as patterns: which names they take, which of two is the closer one, what a short name stands for.

A name is a wildcard if its first character is `*`; what follows is a plain suffix, whatever dots it has.

| a | b | matches(a, b) | subset_of(a, b) |
|---|---|---|---|
| a.x.com | a.x.com | yes | yes |
| a.x.com | b.x.com | no | no |
| a.x.com | *.x.com | yes | yes |
| *.x.com | a.x.com | yes | no |
| x.com | *.x.com | no | no |
| x.com, ax.com | *x.com | yes | yes |
| .x.com | *.x.com | yes | yes |
| *.a.x.com | *.x.com | yes | yes |
| *.x.com | *.a.x.com | yes | no |
| *.x.com | *.y.com | no | no |
| "", anything | * | yes | yes |
| A.x.com | a.x.com | no (case counts) | no |

`matches` is overlap and symmetric; `subset_of`: every name that a takes, b takes too. Neither knows case, ports or
trailing dots: `normalise` removes those from what a request says.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

_OCTETS = frozenset(map(str, range(256)))


class Host(str):
    """A host name or pattern; a str with the rules above."""

    __slots__ = ()

    @property
    def is_wildcard(self) -> bool:
        return self.startswith("*")

    def matches(self, other: str) -> bool:
        """Whether some name is taken by both."""
        return matches(self, other)

    def subset_of(self, other: str) -> bool:
        """Whether `other` takes every name that this one takes."""
        return subset_of(self, other)


def matches(a: str, b: str) -> bool:
    """Whether a and b have a name in common."""
    if a[:1] == "*":
        if b[:1] == "*":
            return a.endswith(b[1:]) if len(a) >= len(b) else b.endswith(a[1:])
        return b.endswith(a[1:])
    if b[:1] == "*":
        return a.endswith(b[1:])
    return a == b


def subset_of(a: str, b: str) -> bool:
    """Whether b takes every name that a takes."""
    if b[:1] == "*":
        return len(a) >= len(b) and a.endswith(b[1:]) if a[:1] == "*" else a.endswith(b[1:])
    return a == b


def specificity(host: str) -> tuple[bool, int, str]:
    """Sort key, closest first: exact names, then wildcards; longer before shorter; then the alphabet."""
    return host[:1] == "*", -len(host), host


def closest(name: str, patterns: Iterable[str]) -> str | None:
    """The most specific of the patterns that takes `name` (all of it, where `name` is itself a wildcard), or None."""
    found = [pattern for pattern in patterns if subset_of(name, pattern)]
    return min(found, key=specificity) if found else None


def expand(name: str, namespace: str, domain: str = "cluster.local") -> str:
    """A short name in full, as seen from the namespace of the rule that says it: `reviews` →
    `reviews.ns.svc.cluster.local`.

    Left alone: "", `*`, IP addresses, and whatever has a dot (`reviews.prod` is not a short name)."""
    if not name or "." in name or name[0] == "*" or is_ip(name):
        return name
    expanded = f"{name}.{namespace}" if namespace else name
    return f"{expanded}.svc.{domain}" if domain else expanded


def gateway_key(reference: str, namespace: str) -> str:
    """A gateway as a VirtualService names it → `namespace/name`; `mesh` stays. `name`, `./name` are the rule's own
    namespace; `name.ns` with whatever follows is the old form of `ns/name`."""
    if reference == "mesh":
        return reference
    owner, slash, name = reference.partition("/")
    if slash:
        return f"{namespace}/{name}" if owner == "." else reference
    name, dot, rest = reference.partition(".")
    return f"{rest.partition('.')[0]}/{name}" if dot else f"{namespace}/{name}"


def is_ip(text: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address (no brackets, no prefix length)."""
    if ":" not in text:
        return _is_ipv4(text)
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_ipv4(text: str) -> bool:
    """Four decimal numbers up to 255, without leading zeros. (The library's parser takes ten times as long.)"""
    parts = text.split(".")
    return len(parts) == 4 and _OCTETS.issuperset(parts)


def normalise(host: str) -> str:
    """A host as a request says it → as it is looked up: lower case, without its port and one trailing dot."""
    if host[:1] == "[":
        inside, bracket, _ = host[1:].partition("]")
        return inside.lower() if bracket else host.lower()
    if host.count(":") == 1:
        name, _, port = host.partition(":")
        if port.isdecimal():
            host = name
    return host.removesuffix(".").lower()


def with_port(host: str, port: int) -> str:
    """`a.test:80`, `[::1]:80`"""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


__all__ = [
    "Host",
    "closest",
    "expand",
    "gateway_key",
    "is_ip",
    "matches",
    "normalise",
    "specificity",
    "subset_of",
    "with_port",
]
