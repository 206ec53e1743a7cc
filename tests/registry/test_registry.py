"""Loading, changing and asking: what is promised of a registry, on both engines."""

from __future__ import annotations

import array
import io
import json
import sys
from pathlib import Path

import pytest
import yaml

from roadstead import (
    BACKEND,
    Cluster,
    Decision,
    Endpoint,
    InputError,
    MeshConfig,
    MeshNetworks,
    Node,
    Origin,
    Registry,
    ResourceKey,
    Service,
)
from roadstead.config import MeshOutboundTrafficPolicy, Resource, ServiceEntry

A = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: here}
spec:
  hosts: [a.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.1}]
"""
B = A.replace("name: a,", "name: b,").replace("a.com", "b.com").replace("10.0.0.1", "10.0.0.2")
BAD_TYPE = A.replace("[a.com]", "a.com")
BAD_RULE = A.replace("[a.com]", "[]")
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: here}
spec:
  hosts: [a.com]
  http:
  - match: [{uri: {MATCH}}]
    route: [{destination: {host: b.com}}]
  - route: [{destination: {host: a.com}}]
"""
HERE = Node(namespace="here")


def registry(text: str, engine: str) -> Registry:
    return Registry.from_text(text, backend=engine, node=HERE, seed=1)


def address(made: Registry, host: str, path: str = "/") -> str:
    return made.route(host, 80, path).pick().address


def test_files_folders_and_standard_input(engine_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mesh"
    folder.mkdir()
    (folder / "a.yaml").write_text(A)
    (tmp_path / "b.json").write_text('{"apiVersion": "v1", "kind": "List", "items": []}')
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(B.encode())))
    made = Registry.from_files(folder, str(tmp_path / "b.json"), "-", backend=engine_name)
    assert {key.name for key in made.resources} == {"a", "b"}
    assert made.backend == engine_name
    assert made.locate(Origin("ServiceEntry", "here", "b", "/spec/hosts")) == "<stdin>:2"


def test_findings_are_those_of_one_resource(engine_name: str) -> None:
    items = [A.replace("[a.com]", f"[{name}.com]").replace("name: a,", f"name: {name},") for name in ("x", "y")]
    documents = [yaml.safe_load(text) for text in items]
    documents[1]["spec"]["workloadSelector"] = {"labels": {"app": "y"}}
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
    made = Registry.from_text(listed, backend=engine_name, node=HERE)
    assert [finding.code for finding in made.diagnostics] == ["EXT-2"]
    found = {name: made.findings(Origin("ServiceEntry", "here", name, "/spec")) for name in ("x", "y", "absent")}
    assert found == {"x": (), "y": made.diagnostics, "absent": ()}


def test_settings_from_files(engine_name: str, tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text("outboundTrafficPolicy: {mode: REGISTRY_ONLY}")
    (tmp_path / "networks.yaml").write_text("networks: {n2: {gateways: [{address: 192.0.2.1, port: 15443}]}}")
    made = Registry(mesh=tmp_path / "mesh.yaml", networks=tmp_path / "networks.yaml", backend=engine_name)
    assert made.route("unknown.com").kind == "refused"
    (tmp_path / "mesh.yaml").write_text("outboundTrafficPolicy: {mode: NONE}")
    with pytest.raises(InputError, match="outboundTrafficPolicy"):
        Registry(mesh=tmp_path / "mesh.yaml", backend=engine_name)


def test_an_empty_registry_knows_nobody(engine_name: str) -> None:
    made = Registry(backend=engine_name)
    assert made.find("a.com", 80) is None
    assert made.route("a.com").kind == "passthrough"
    assert made.mesh.hosts == {}


@pytest.mark.parametrize("text", ["a: [", "\t- x: {"])
def test_nothing_readable_is_an_error(text: str, engine_name: str) -> None:
    with pytest.raises(InputError):
        Registry.from_text(text, backend=engine_name)


def test_a_missing_file_is_an_error(engine_name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Registry.from_files(tmp_path / "none.yaml", backend=engine_name)


def test_an_unknown_dialect_is_an_error(engine_name: str) -> None:
    with pytest.raises(ValueError, match="dialect"):
        Registry(dialect="other", backend=engine_name)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [BAD_TYPE, BAD_RULE, "a: ["])
def test_a_bad_document_does_not_take_the_others_down(bad: str, engine_name: str) -> None:
    made = registry(f"{B}\n---\n{bad}", engine_name)
    assert {key.name for key in made.resources} == {"b"}
    assert address(made, "b.com") == "10.0.0.2"
    assert any(finding.severity == "error" and finding.line for finding in made.diagnostics)


def test_faces(engine_name: str) -> None:
    made = registry(A, engine_name)
    decision = made.route("a.com", 80)
    assert isinstance(decision, Decision)
    assert isinstance(decision.cluster, Cluster)
    assert isinstance(decision.pick(), Endpoint)
    assert isinstance(made.find("a.com", 80), Service)
    assert made.cluster("outbound|80||a.com") is decision.cluster
    assert BACKEND in ("native", "fallback")


def test_hot_calls_are_the_engines_own(engine_name: str) -> None:
    made = registry(A, engine_name)
    for name in ("find", "route", "connect", "find_many", "route_many", "explain", "services", "clusters"):
        assert type(getattr(made, name).__self__).__name__ == "Engine"


def test_columns(engine_name: str) -> None:
    made = registry(f"{A}\n---\n{B}", engine_name)
    column = made.host_column(["a.com", "none.com", "b.com"])
    ports, out = array.array("H", [80, 80, 80]), array.array("i", [0, 0, 0])
    made.find_many(column, ports, out)
    services = made.services()
    assert [None if index < 0 else services[index].host for index in out] == ["a.com", None, "b.com"]  # type: ignore[union-attr]
    made.route_many(column, ports, out)
    clusters = made.clusters()
    names = [None if index < 0 else clusters[index].name for index in out]  # type: ignore[union-attr]
    assert names == ["outbound|80||a.com", None, "outbound|80||b.com"]


@pytest.mark.parametrize(
    "given",
    [
        B,
        B.encode(),
        [B],
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": "b", "namespace": "here"},
            "spec": {
                "hosts": ("b.com",),
                "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                "resolution": "STATIC",
                "endpoints": [{"address": "10.0.0.2"}],
            },
        },
    ],
    ids=["text", "bytes", "several", "dict"],
)
def test_put_takes_text_documents_and_resources(given: object, engine_name: str) -> None:
    made = registry(A, engine_name)
    delta = made.apply(put=given)  # type: ignore[arg-type]
    assert (delta.hosts, delta.clusters) == (("b.com",), ("outbound|80||b.com",))
    assert address(made, "b.com") == "10.0.0.2"
    resource = made.resources[ResourceKey("ServiceEntry", "here", "b")]
    assert isinstance(resource.spec, ServiceEntry)
    other = Registry(backend=engine_name)
    assert other.apply(put=resource).hosts == ("b.com",)


@pytest.mark.parametrize("form", ["key", "tuple", "text", "resource", "document", "several"])
def test_delete_takes_keys_resources_and_documents(form: str, engine_name: str) -> None:
    made = registry(f"{A}\n---\n{B}", engine_name)
    key = ResourceKey("ServiceEntry", "here", "b")
    resource: Resource[ServiceEntry] = made.resources[key]  # type: ignore[assignment]
    forms = {
        "key": key,
        "tuple": [tuple(key)],
        "text": "ServiceEntry/here/b",
        "resource": resource,
        "document": {"kind": "ServiceEntry", "metadata": {"name": "b", "namespace": "here"}},
        "several": [key, "ServiceEntry/here/none"],
    }
    delta = made.apply(delete=forms[form])  # type: ignore[arg-type]
    assert (delta.hosts, delta.clusters) == (("b.com",), ("outbound|80||b.com",))
    assert made.find("b.com", 80) is None
    assert len(made.resources) == 1


def test_text_that_is_no_key_is_an_error(engine_name: str) -> None:
    with pytest.raises(ValueError, match="Kind/namespace/name"):
        registry(A, engine_name).apply(delete="a")


@pytest.mark.parametrize("bad", [BAD_TYPE, BAD_RULE])
def test_a_refused_object_leaves_its_previous_version(bad: str, engine_name: str) -> None:
    made = registry(A, engine_name)
    delta = made.apply(put=[bad, B])
    assert delta.hosts == ("b.com",)
    assert [finding.severity for finding in delta.diagnostics] == ["error"]
    assert address(made, "a.com") == "10.0.0.1"


@pytest.mark.parametrize("bad", [BAD_TYPE, BAD_RULE])
@pytest.mark.parametrize("change", [{"put": A}, {"delete": "ServiceEntry/here/a"}], ids=["replaced", "deleted"])
@pytest.mark.parametrize("loaded", [True, False], ids=["loaded", "applied"])
def test_a_refusal_is_told_until_the_resource_is_good_or_gone(
    bad: str, change: dict[str, str], loaded: bool, engine_name: str
) -> None:
    made = registry(f"{B}\n---\n{bad}" if loaded else B, engine_name)
    if not loaded:
        made.apply(put=bad)
    assert [finding.severity for finding in made.diagnostics] == ["error"]
    made.apply(put=bad)
    assert [finding.severity for finding in made.diagnostics] == ["error"]
    made.apply(**change)
    assert made.diagnostics == ()


# The pattern has no fifth group; only the engine finds out.
NO_SUCH_GROUP = ROUTE.replace("MATCH", "prefix: /b").replace(
    "    route: [{destination: {host: b.com}}]",
    "    rewrite: {uriRegexRewrite: {match: a, rewrite: '\\5'}}\n    route: [{destination: {host: b.com}}]",
)


def test_what_the_engine_refuses_is_put_back(engine_name: str) -> None:
    made = registry(f"{A}\n---\n{B}\n---\n{ROUTE.replace('MATCH', 'prefix: /b')}", engine_name)
    assert address(made, "a.com", "/b") == "10.0.0.2"
    delta = made.apply(put=[NO_SUCH_GROUP, A.replace("10.0.0.1", "10.0.0.9")])
    assert [finding.severity for finding in delta.diagnostics] == ["error"]
    assert address(made, "a.com", "/b") == "10.0.0.2"
    assert address(made, "a.com") == "10.0.0.9"


def test_what_the_engine_refuses_is_not_loaded(engine_name: str) -> None:
    made = registry(f"{A}\n---\n{B}\n---\n{NO_SUCH_GROUP}", engine_name)
    assert {key.kind for key in made.resources} == {"ServiceEntry"}
    assert address(made, "a.com", "/b") == "10.0.0.1"
    assert [finding.severity for finding in made.diagnostics] == ["error"]
    made.apply(put=ROUTE.replace("MATCH", "prefix: /b"))
    assert made.diagnostics == ()
    assert address(made, "a.com", "/b") == "10.0.0.2"


def test_what_is_refused_does_not_hide_what_else_changed(engine_name: str) -> None:
    made = registry(f"{A}\n---\n{B}", engine_name)
    sidecar = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: s, namespace: here}\n"
    made.apply(put=[f"{sidecar}spec: {{egress: [{{hosts: ['*/a.com']}}]}}", NO_SUCH_GROUP])
    assert made.find("a.com", 80) is not None
    assert made.find("b.com", 80) is None


def test_a_change_keeps_the_objects_it_does_not_touch(engine_name: str) -> None:
    made = registry(f"{A}\n---\n{B}", engine_name)
    before = made.mesh.hosts
    assert made.apply(put=A).hosts == ()
    assert made.apply(
        put=A.replace("protocol: HTTP}", "protocol: HTTP}, {number: 81, name: more, protocol: HTTP}")
    ).clusters == ("outbound|81||a.com",)
    after = made.mesh.hosts
    assert after["b.com"] is before["b.com"]
    assert after["a.com"].clusters[0] is before["a.com"].clusters[0]


@pytest.mark.parametrize(
    ("again", "line", "pointer"),
    [
        pytest.param("# moved\n# down\n{}", 3, "", id="moved down"),
        pytest.param("{}", 1, "", id="where it was"),
        pytest.param("kind: List\napiVersion: v1\nitems:\n- {}", 1, "/items/0", id="in a list"),
    ],
)
@pytest.mark.parametrize("alike", [1, 3], ids=["a form of its own", "one of a form"])
def test_the_same_resource_elsewhere_is_no_change(
    alike: int, again: str, line: int, pointer: str, engine_name: str
) -> None:
    def document(number: int) -> str:
        spec = f"hosts: [h{number}.example.com], ports: [{{number: 80, name: http, protocol: HTTP}}], resolution: DNS"
        kind = "apiVersion: networking.istio.io/v1, kind: ServiceEntry"
        return f"{{{kind}, metadata: {{name: s{number}, namespace: x}}, spec: {{{spec}}}}}"

    registry = Registry.from_text("\n---\n".join(document(number) for number in range(alike)), backend=engine_name)
    key = ResourceKey("ServiceEntry", "x", f"s{alike - 1}")
    before = registry.cluster(f"outbound|80||h{alike - 1}.example.com")
    delta = registry.apply(put=again.format(document(alike - 1)))
    assert (delta.hosts, delta.clusters, delta.diagnostics) == ((), (), ())
    assert registry.cluster(f"outbound|80||h{alike - 1}.example.com") is before
    origin = registry.resources[key].origin
    assert (origin.file, origin.index, origin.line, origin.pointer) == ("", 0, line, pointer)


def test_mesh_wide_settings_can_change(engine_name: str) -> None:
    made = registry(A, engine_name)
    assert made.route("none.com").kind == "passthrough"
    mesh = MeshConfig(outbound_traffic_policy=MeshOutboundTrafficPolicy(mode="REGISTRY_ONLY"))
    assert made.apply(mesh=mesh, networks=MeshNetworks()).hosts == ()
    assert made.route("none.com").kind == "refused"
    assert made.mesh.outbound == "REGISTRY_ONLY"


def test_views_follow_changes_as_long_as_they_live(engine_name: str) -> None:
    made = registry(A.replace("hosts: [a.com]", "hosts: [a.com]\n  exportTo: [.]"), engine_name)
    there = made.view(Node(namespace="there"))
    assert (made.find("a.com", 80) is None, there.find("a.com", 80) is None) == (False, True)
    made.apply(put=B)
    assert there.find("b.com", 80) is not None
    assert there.node.namespace == "there"
    assert list(there.mesh.hosts) == ["b.com"]
    assert set(there.resources) == set(made.resources)


def test_where_a_piece_was_written(engine_name: str, tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text(f"{A}---{ROUTE.replace('MATCH', 'prefix: /b')}")
    made = Registry.from_files(path, backend=engine_name, node=HERE)
    decision = made.route("a.com", 80, "/x")
    place = made.locate(decision.route.origin)  # type: ignore[union-attr]
    line = path.read_text().splitlines().index("  - route: [{destination: {host: a.com}}]") + 1
    assert place == f"{path}:{line}:5"
    service = made.find("a.com", 80)
    assert service is not None
    assert made.locate(service.spec.origin).startswith(f"{path}:2:")  # type: ignore[attr-defined]
    path.write_text(f"\n{path.read_text()}")
    assert made.locate(decision.route.origin) == str(path)  # type: ignore[union-attr]
    path.unlink()
    assert made.locate(decision.route.origin) == str(path)  # type: ignore[union-attr]
    made.apply(put=ROUTE.replace("MATCH", "prefix: /c"))
    assert made.locate(made.route("a.com", 80).route.origin) == ""  # type: ignore[union-attr]


def test_rules_on_tls_ports_are_told(engine_name: str) -> None:
    tls = A.replace("{number: 80, name: http, protocol: HTTP}", "{number: 443, name: https, protocol: HTTPS}")
    route = ROUTE.replace("MATCH", "prefix: /b")
    made = registry(f"{tls}\n---\n{route}", engine_name)
    assert [finding.code for finding in made.diagnostics] == ["EXT-9"]
    (rules,) = [key for key in made.resources if key.kind == "VirtualService"]
    assert made.findings(Origin(*rules)) == made.diagnostics
    assert [finding.code for finding in made.apply(put=route.replace("/b", "/c")).diagnostics] == ["EXT-9"]
    istio = Registry.from_text(f"{tls}\n---\n{route}", backend=engine_name, node=HERE, dialect="istio")
    assert istio.diagnostics == ()


def test_rules_on_tls_ports_are_told_where_they_stand(engine_name: str, tmp_path: Path) -> None:
    tls = A.replace("{number: 80, name: http, protocol: HTTP}", "{number: 443, name: https, protocol: HTTPS}")
    path = tmp_path / "mesh.yaml"
    path.write_text(f"{tls}---{ROUTE.replace('MATCH', 'prefix: /b')}")
    made = Registry.from_files(path, backend=engine_name, node=HERE)
    (found,) = made.diagnostics
    lines = path.read_text().splitlines()
    line = next(number for number, text in enumerate(lines) if text.startswith("  http:")) + 1
    assert found.line >= line
    assert found.column == lines[found.line - 1].index("-") + 1
    (rules,) = [key for key in made.resources if key.kind == "VirtualService"]
    assert made.findings(Origin(*rules)) == (found,)
    path.write_text(f"# {path.read_text()}")
    (moved,) = made.diagnostics
    assert moved.column == 0


def test_what_put_does_not_take(engine_name: str, tmp_path: Path) -> None:
    made = registry(A, engine_name)
    path = tmp_path / "a.yaml"
    path.write_text(A)
    with path.open() as file, pytest.raises(TypeError, match=r"not TextIOWrapper: pass what it holds \(.read\(\)\)"):
        made.apply(put=file)
    with path.open("rb") as raw, pytest.raises(TypeError, match="not BufferedReader"):
        made.apply(put=raw)
    with pytest.raises(TypeError, match=r"pass its text \(.read_text\(\)\), or load it with from_files"):
        made.apply(put=path)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="or several of them, not int"):
        made.apply(put=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"a resource, a document \(dict\), YAML text, not int"):
        made.apply(put=[A, 3])  # type: ignore[list-item]
    assert list(made.mesh.hosts) == ["a.com"]


def test_who_names_a_host(engine_name: str) -> None:
    wild = A.replace("a.com", "'*.com'").replace("name: a", "name: wild")
    made = registry(f"{A}---\n{wild}", engine_name)
    assert [key.name for key in made.naming("A.com")] == ["a", "wild"]
    assert [key.name for key in made.naming("b.com")] == ["wild"]
    assert made.naming("b.org") == ()


def test_it_says_what_it_is(engine_name: str) -> None:
    made = registry(A, engine_name)
    assert repr(made) == f"<Registry: 1 resources, 1 hosts for a sidecar in here, {engine_name}>"
    router = made.view(Node(type="router", namespace="there"))
    assert repr(router).startswith("<View: 1 resources, 1 hosts for a router in there")


def test_a_sidecar_that_is_loaded_holds_at_once(engine_name: str) -> None:
    sidecar = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: here}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
"""
    made = registry(f"{A}\n---\n{sidecar}", engine_name)
    assert address(made, "a.com") == "10.0.0.1"
    assert made.route("unknown.com", 80).kind == "refused"
