"""Hosts that mean the same but for names: made of one template they are what each is when it is compiled by itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import pytest
from benchmarks import workload
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.golden.mutations import repeated_documents
from tests.golden.recorded import CASES, case_of
from tests.golden.recorded import text_of as case_text
from tests.registry import universe

from roadstead import MeshConfig, Node, Registry, core
from roadstead import _lowered as low
from roadstead.compile.filling import filling
from roadstead.compile.host import compile_host
from roadstead.config.read import read_mesh, read_networks
from roadstead.mesh import HostMesh
from roadstead.registry.lower import Lowering
from roadstead.registry.templates import Templates

NODES = (
    Node(namespace="here", labels={"app": "1"}, locality="us-west/us-west-a", ips=("10.0.0.1",)),
    Node(namespace="there", dns_domain="there.svc.x.com"),
    Node(type="router", namespace="istio-system", labels={"app": "1"}),
)


def text_of(documents: Iterable[universe.Document]) -> bytes:
    return b"---\n".join(universe.as_json(document) + b"\n" for document in documents)


def one_by_one(text: bytes | str, node: Node, mesh: MeshConfig | None = None, engine: str = "fallback") -> Registry:
    """A registry that never sees a form: its documents come through `apply`, of which a few are no bulk."""
    registry = Registry(node=node, mesh=mesh, backend=engine)
    registry.apply(put=text)
    return registry


def templates_of(registry: Registry) -> list[tuple[low.Unit, low.Unit]]:
    """For each host that can be made of a template: its unit as that gives it, and as it is compiled by itself."""
    node = registry._node_engine
    scope = node.scope.with_env(node.scope.env)
    found = Templates(scope, node.engine, Lowering())
    # Of a likeness the first host is always compiled by itself.
    hosts = [key for _ in range(2) for key in node.units]
    made = {key: like for key in hosts if (like := found.of(key)) is not None}
    return [
        (filling(template.unit)(names), Lowering().unit(cast("HostMesh", compile_host(scope, key))))
        for key, (template, names) in made.items()
    ]


documents = st.lists(
    st.one_of(universe.service_entries(), universe.virtual_services(), universe.destination_rules()), max_size=8
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents, st.lists(universe.documents, max_size=2), st.sampled_from(NODES))
def test_a_mesh_read_at_once_is_the_mesh_of_its_documents(
    plain: list[universe.Document], others: list[universe.Document], node: Node
) -> None:
    text = text_of([*plain, *others])
    # The second time every form is known.
    at_once = Registry.from_text(text + b"---\n" + text, node=node, backend="fallback")
    single = one_by_one(text, node)
    assert list(at_once.mesh.hosts) == list(single.mesh.hosts)
    assert at_once.mesh == single.mesh
    assert at_once.resources.keys() == single.resources.keys()
    for like, alone in templates_of(at_once):
        assert like == alone


@pytest.mark.parametrize("name", CASES)
def test_the_hosts_of_every_case(name: str) -> None:
    case = case_of(repeated_documents(case_text(name)))
    for client in case.clients.values():
        registry = Registry.from_text(
            case.config,
            node=client.node(),
            mesh=read_mesh(case.mesh.encode()).value,
            networks=read_networks(case.networks.encode()).value,
            dialect="istio",
            backend="fallback",
        )
        for like, alone in templates_of(registry):
            assert like == alone


MESHES = {
    "default": "",
    "exports": "defaultServiceExportTo: [ns-1]\ndefaultVirtualServiceExportTo: ['.']\n",
    "defaults": "enableAutoMtls: false\nlocalityLbSetting: {enabled: true}\ntrustDomainAliases: [old.test]\n",
    "visibility": "serviceEntryVisibility: {applyToSidecars: true, defaultVisibility: NAMESPACE}\n",
}


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("namespace", ["default", "ns-1", "istio-system"])
def test_the_mesh_of_the_workload(engine_name: str, namespace: str, mesh: str) -> None:
    text = workload.text(60)
    node = Node(namespace=namespace, locality="us-west/us-west-a", ips=("10.100.0.7",))
    settled = read_mesh(MESHES[mesh].encode()).value
    at_once = Registry.from_text(text, node=node, mesh=settled, backend=engine_name)
    likened = templates_of(at_once)
    # The fallback's reader leaves names where they are.
    if core.BACKEND == "native" and mesh != "visibility":
        assert 2 * len(likened) >= len(at_once.mesh.hosts)
    else:
        assert not likened
    for like, alone in likened:
        assert like == alone
    single = one_by_one(text, node, settled, engine_name)
    assert not templates_of(single)
    assert at_once.mesh == single.mesh
    assert sorted(map(str, at_once.diagnostics)) == sorted(map(str, single.diagnostics))
    for number in range(60):
        for path in ("/", "/api/v1", "/api/v2"):
            ours, theirs = (
                registry.route(workload.asked(number), 80, path, draw=number) for registry in (at_once, single)
            )
            assert (ours.kind, ours.cluster_name, ours.reasons) == (theirs.kind, theirs.cluster_name, theirs.reasons)
            assert (ours.route, ours.virtual_host, ours.timeout) == (theirs.route, theirs.virtual_host, theirs.timeout)
            if ours.cluster is not None:
                assert theirs.cluster is not None
                assert ours.cluster.spec == theirs.cluster.spec
                assert ours.cluster.endpoints == theirs.cluster.endpoints
                assert ours.cluster.connection_pool == theirs.cluster.connection_pool


def test_a_host_of_a_template_changes_like_any_other(engine_name: str) -> None:
    registry = Registry.from_text(workload.text(40), backend=engine_name)
    host = workload.asked(34)
    before = registry.mesh.hosts[host]
    delta = registry.apply(put=workload.virtual_service(34, timeout="3s"))
    assert (delta.hosts, delta.clusters) == ((host,), ())
    after = registry.mesh.hosts[host]
    assert after.clusters == before.clusters
    assert registry.route(host, 80).timeout == 3.0
    assert registry.apply(put=workload.virtual_service(34, timeout="3s")).hosts == ()
    assert registry.apply(delete="ServiceEntry/ns-34/svc-34").hosts == (host,)
    assert registry.find(host, 80) is None


def test_under_other_settings_only_what_means_something_else_is_put_again(engine_name: str) -> None:
    registry = Registry.from_text(workload.text(40), backend=engine_name)
    assert registry.apply(mesh=MeshConfig()).hosts == ()
    delta = registry.apply(mesh=MeshConfig(connect_timeout="3s"))
    # The others have a connectTimeout of their own.
    assert len(delta.hosts) == 40 - 12
    cluster = registry.cluster("outbound|80||" + workload.host(1))
    assert cluster is not None
    assert cluster.connection_pool.tcp.connect_timeout == 3.0  # type: ignore[attr-defined]


def test_a_unit_that_the_engine_refuses_is_told_of_its_own_documents(engine_name: str) -> None:
    rule = """apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: [{name}.test]
  http: [{{match: [{{uri: {{regex: "a{{1000}}{{1000}}"}}}}], route: [{{destination: {{host: {name}.test}}}}]}}]
"""
    entry = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: default}}
spec: {{hosts: [{name}.test], ports: [{{number: 80, name: http, protocol: HTTP}}], resolution: DNS}}
"""
    text = "---\n".join(form.format(name=name) for name in ("a", "b", "c") for form in (entry, rule))
    at_once = Registry.from_text(text, backend=engine_name)
    single = one_by_one(text, Node(), engine=engine_name)
    assert sorted((one.code, one.path) for one in at_once.diagnostics) == sorted(
        (one.code, one.path) for one in single.diagnostics
    )
    assert at_once.mesh == single.mesh


def test_another_node_of_the_same_registry(engine_name: str) -> None:
    text = workload.text(40)
    view = Registry.from_text(text, backend=engine_name).view(NODES[0])
    assert view.mesh == one_by_one(text, NODES[0], engine=engine_name).mesh
