"""After any sequence of changes the mesh equals one compiled from scratch."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.registry import universe

from roadstead import Node, Registry
from roadstead.registry.view import View

SIDECAR = Node(namespace="here", labels={"app": "1"})
ROUTER = Node(type="router", namespace="istio-system", labels={"app": "1"})

deletions = st.tuples(
    st.sampled_from(("ServiceEntry", "VirtualService", "DestinationRule", "WorkloadEntry", "Sidecar", "Gateway")),
    universe.namespaces,
    st.sampled_from(universe.NAMES),
)
steps = st.lists(
    st.tuples(st.lists(universe.documents, max_size=3), st.lists(deletions, max_size=2)), min_size=1, max_size=8
)


def check(view: View, scratch: View) -> None:
    left, right = view.mesh, scratch.mesh
    assert (left.outbound, left.egress_cluster) == (right.outbound, right.egress_cluster)
    assert list(left.hosts) == list(right.hosts)
    for key, host in left.hosts.items():
        assert host == right.hosts[key]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_the_mesh_equals_one_compiled_from_scratch(
    changes: list[tuple[list[universe.Document], list[universe.Key]]],
) -> None:
    registry = Registry(node=SIDECAR, backend="fallback")
    router = registry.view(ROUTER)
    known: dict[universe.Key, universe.Document] = {}
    for put, delete in changes:
        registry.apply(put=put, delete=["/".join(key) for key in delete])
        for key in delete:
            known.pop(key, None)
        known |= {universe.key_of(document): document for document in put}
        scratch = Registry(node=SIDECAR, backend="fallback")
        scratch.apply(put=list(known.values()))
        check(registry, scratch)
        check(router, scratch.view(ROUTER))
        assert set(registry.resources) == set(scratch.resources)
