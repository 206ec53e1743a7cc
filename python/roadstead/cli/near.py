"""What was probably meant by a host that nothing names: one that is hidden from this client, or one spelt nearly so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from roadstead.mesh import Origin
from roadstead.registry.similar import similar

if TYPE_CHECKING:
    from roadstead import Registry


def hints(registry: Registry, host: str) -> Iterator[tuple[str, Origin | None]]:
    """Each hint and the resource it is about."""
    name = host.lower().removesuffix(".")
    hidden = registry.naming(name)
    for key in hidden:
        what = f"named, but not visible from namespace {registry.node.namespace} (exportTo or Sidecar)"
        yield what, Origin(*key)
    if hidden:
        return
    close = similar(name, (service.host for service in registry.services() if service is not None))
    if close:
        yield f"did you mean {' or '.join(close)}?", None
