"""After any sequence of changes the mesh equals one compiled from scratch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.registry import universe

from roadstead import Node, Registry
from roadstead.registry.view import View

SIDECAR = Node(namespace="here", labels={"app": "1"})
ROUTER = Node(type="router", namespace="istio-system", labels={"app": "1"}, ips=(universe.ROUTER_IP,))

deletions = st.tuples(
    st.sampled_from(universe.KINDS),
    universe.namespaces,
    st.sampled_from(universe.NAMES),
)
Steps = list[tuple[list[universe.Document], list[universe.Key]]]


def steps(documents: st.SearchStrategy[universe.Document]) -> st.SearchStrategy[Steps]:
    changes = st.tuples(st.lists(documents, max_size=4), st.lists(deletions, max_size=2))
    return st.lists(changes, min_size=1, max_size=8)


def check(view: View, scratch: View) -> None:
    left, right = view.mesh, scratch.mesh
    assert (left.outbound, left.egress_cluster) == (right.outbound, right.egress_cluster)
    assert list(left.hosts) == list(right.hosts)
    for key, host in left.hosts.items():
        assert host == right.hosts[key]


def follow(node: Node, changes: Steps) -> None:
    """Make changes one after the other in a registry of that node with views of both; after each of them everything is
    what a registry makes of one text, which compiles every unit and reads no notes."""
    registry = Registry(node=node, backend="fallback")
    views = [registry.view(other) for other in (SIDECAR, ROUTER)]
    known: dict[universe.Key, universe.Document] = {}
    for put, delete in changes:
        registry.apply(put=put, delete=["/".join(key) for key in delete])
        for key in delete:
            known.pop(key, None)
        known |= {universe.key_of(document): document for document in put}
        scratch = Registry.from_text(text_of(known.values()), node=node, backend="fallback")
        check(registry, scratch)
        for view in views:
            check(view, scratch.view(view.node))
        assert set(registry.resources) == set(scratch.resources)


@pytest.mark.usefixtures("forgetful")
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps(universe.documents))
def test_the_mesh_equals_one_compiled_from_scratch(changes: Steps) -> None:
    follow(SIDECAR, changes)


@pytest.mark.usefixtures("forgetful")
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps(universe.around_gateways))
def test_the_mesh_of_a_router_equals_one_compiled_from_scratch(changes: Steps) -> None:
    follow(ROUTER, changes)


def text_of(documents: Iterable[universe.Document]) -> bytes:
    return b"---\n".join(universe.as_json(document) + b"\n" for document in documents)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_router_that_began_with_nothing_listens_once_it_has_gateways(engine_name: str, at_once: bool) -> None:
    text = (Path(__file__).parent.parent / "docs" / "data" / "router.yaml").read_text()
    node = Node(type="router", namespace="apps", labels={"app": "router"})
    registry = Registry(node=node, backend=engine_name)
    for part in [text] if at_once else text.split("\n---\n"):
        registry.apply(put=part)
    units = [key for key in registry.mesh.hosts if key.startswith("gateway/")]
    assert units == ["gateway/443", "gateway/80", "gateway/8443", "gateway/8444", "gateway/8445"]
    check(registry, Registry.from_text(text, node=node, backend=engine_name))


def test_the_universe_gives_routers_listeners_of_every_sort() -> None:
    """What the test of routers is worth: in a small sample of it they have routes and chains of every sort."""
    seen: set[str] = set()

    @settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.lists(universe.around_gateways, min_size=8, max_size=16))
    def look(documents: list[universe.Document]) -> None:
        mesh = Registry.from_text(text_of(documents), node=ROUTER, backend="fallback").mesh
        for key, host in mesh.hosts.items():
            if key.startswith("gateway/"):
                seen.update(f"{key} routes" for one in host.virtual_hosts if not one.require_tls)
                seen.update(f"{key} redirects" for one in host.virtual_hosts if one.require_tls)
                seen.update(f"{key} {'automatic' if one.automatic else 'chain'}" for one in host.chains)

    look()
    assert seen >= {
        "gateway/80 routes",
        "gateway/80 redirects",
        "gateway/90 chain",
        "gateway/443 chain",
        "gateway/443 automatic",
        "gateway/443 routes",
    }
