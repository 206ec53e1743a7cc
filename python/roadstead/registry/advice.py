"""What is worth saying about resources only once they meet: rules that hold where Istio would not apply them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from roadstead.compile.index import Index
from roadstead.config import Finding, ResourceKey
from roadstead.config.dialect import EXTENSIONS
from roadstead.mesh import HostMesh
from roadstead.registry.store import Store


def advised(host: HostMesh, index: Index) -> tuple[ResourceKey, ...]:
    """VirtualServices with HTTP rules on TLS ports of a host (row EXT-9 of the extended dialect)."""
    origins = [
        virtual_host.origin
        for virtual_host in host.virtual_hosts
        # Tables are a router's: what it terminates it also reads.
        if virtual_host.tls and not virtual_host.table
    ]
    keys = [ResourceKey(one.kind, one.namespace, one.name) for one in origins if one is not None]
    # The index's own keys, so that no others are kept.
    known = [index.virtual_service(key) for key in dict.fromkeys(keys)]
    return tuple([fact.key for fact in known if fact is not None])


def advice(keys: Iterable[ResourceKey], store: Store) -> Iterator[Finding]:
    """What is said of them, once for each VirtualService."""
    row = EXTENSIONS["EXT-9"]
    for key in dict.fromkeys(keys):
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
