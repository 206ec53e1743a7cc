"""What was probably meant by a host that nothing names: one that is hidden from this client, or one spelt nearly so."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

from roadstead.mesh import Origin

if TYPE_CHECKING:
    from roadstead import Registry

_LIKE = 0.8
# Comparing letter by letter is slow: of a large mesh only hosts of about the same length under the same parent.
_MANY = 2_000


def hints(registry: Registry, host: str) -> Iterator[tuple[str, Origin | None]]:
    """Each hint and the resource it is about."""
    name = host.lower().removesuffix(".")
    hidden = list(_hidden(registry, name))
    for origin in hidden:
        what = f"named, but not visible from namespace {registry.node.namespace} (exportTo or Sidecar)"
        yield what, origin
    if hidden:
        return
    known = {service.host for service in registry.services() if service is not None}
    if len(known) > _MANY:
        parent = name.partition(".")[2]
        known = {one for one in known if abs(len(one) - len(name)) < 3 and one.partition(".")[2] == parent}
    close = get_close_matches(name, sorted(known), n=3, cutoff=_LIKE)
    if close:
        yield f"did you mean {' or '.join(close)}?", None


def _hidden(registry: Registry, name: str) -> Iterator[Origin]:
    for key, resource in registry.resources.items():
        if key.kind != "ServiceEntry":
            continue
        for host in getattr(resource.spec, "hosts", ()):
            plain = host.lower()
            if plain == name or (plain.startswith("*") and name.endswith(plain[1:])):
                yield Origin(key.kind, key.namespace, key.name)
                break
