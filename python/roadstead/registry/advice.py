"""What is worth saying about resources only once they meet: rules that hold where Istio would not apply them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from roadstead.config import Finding, ResourceKey
from roadstead.config.dialect import EXTENSIONS
from roadstead.mesh import HostMesh, Origin
from roadstead.registry.store import Store


def advice(hosts: Iterable[HostMesh], store: Store, *, about: ResourceKey | None = None) -> Iterator[Finding]:
    """HTTP rules on TLS ports (row EXT-9 of the extended dialect), once for each VirtualService, or for one of them."""
    row = EXTENSIONS["EXT-9"]
    said: set[Origin] = set()
    for host in hosts:
        for virtual_host in host.virtual_hosts:
            origin = virtual_host.origin
            # Tables are a router's: what it terminates it also reads.
            if not virtual_host.tls or virtual_host.table or origin is None or origin in said:
                continue
            said.add(origin)
            key = ResourceKey(origin.kind, origin.namespace, origin.name)
            if about not in (None, key):
                continue
            resource = store.get(key)
            source = None if resource is None else resource.origin
            yield Finding(
                row.code,
                "warning",
                row.means,
                file="" if source is None else source.file,
                line=0 if source is None else source.line,
                path="spec.http",
                hint=f"Istio {row.istio}",
                pointer="/spec/http",
            )
