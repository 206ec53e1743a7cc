"""What is worth saying about resources only once they meet: rules that hold where Istio would not apply them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from roadstead.compile.index import Index
from roadstead.config import Finding, ResourceKey
from roadstead.config.dialect import EXTENSIONS
from roadstead.mesh import HostMesh
from roadstead.registry.store import Store


def tls_rules(host: HostMesh) -> tuple[ResourceKey, ...]:
    """VirtualServices with HTTP rules on TLS ports of a host (row EXT-9 of the extended dialect)."""
    origins = [
        virtual_host.origin
        for virtual_host in host.virtual_hosts
        # Tables are a router's: what it terminates it also reads.
        if virtual_host.tls and not virtual_host.table
    ]
    keys = [ResourceKey(one.kind, one.namespace, one.name) for one in origins if one is not None]
    return tuple(dict.fromkeys(keys))


def advised(rules: Iterable[ResourceKey], index: Index) -> tuple[ResourceKey, ...]:
    """What advice is about. The keys are the index's own, so that no others are kept."""
    known = [index.virtual_service(key) for key in rules]
    return tuple([fact.key for fact in known if fact is not None])


def advice(keys: Iterable[ResourceKey], store: Store) -> Iterator[Finding]:
    """What is said of them, once for each VirtualService."""
    row = EXTENSIONS["EXT-9"]
    for key in dict.fromkeys(keys):
        source = store.source(key)
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
