"""What one client sees: exportTo, Sidecars, which namespace has a host, which rules hold."""

from __future__ import annotations

import pytest
from tests.compile.selecting import HTTP, document, scope, service

from roadstead.config import MeshConfig
from roadstead.mesh import Node

TCP = "{number: 90, name: tcp, protocol: TCP}"


@pytest.mark.parametrize(
    ("export_to", "seen"),
    [
        ("", ["here", "there"]),
        ("['*']", ["here", "there"]),
        ("[.]", ["there"]),
        ("[there]", ["there"]),
        ("[here]", ["here"]),
        ("[here, .]", ["here", "there"]),
        ("['~']", []),
    ],
)
def test_export_to_of_services(export_to: str, seen: list[str]) -> None:
    more = f"exportTo: {export_to}" if export_to else ""
    text = service("there/one", "a.com", more)
    found = [name for name in ("here", "there") if scope(text, Node(namespace=name)).view("a.com")]
    assert found == seen


@pytest.mark.parametrize(("default", "seen"), [((".",), False), (("here",), True), (("*",), True), (("~",), False)])
def test_the_mesh_says_who_sees_what_says_nothing(default: tuple[str, ...], seen: bool) -> None:
    mesh = MeshConfig(default_service_export_to=default)
    assert (scope(service("there/one", "a.com"), mesh=mesh).view("a.com") is not None) is seen


@pytest.mark.parametrize(
    ("node", "namespace"),
    [
        (Node(namespace="here"), "here"),
        (Node(namespace="elsewhere"), "older"),
        (Node(namespace="here", type="router"), "older"),
        (Node(namespace="named"), "younger"),
    ],
)
def test_one_namespace_has_a_host(node: Node, namespace: str) -> None:
    text = service("here/own", "a.com", age=2023)
    text += service("older/two", "a.com", age=2021)
    text += service("younger/three", "a.com", "exportTo: [named]", age=2024)
    view = scope(text, node).view("a.com")
    assert view is not None
    assert view.namespace == namespace


def test_all_entries_of_a_namespace_stay_in_order_of_age() -> None:
    text = service("here/b", "a.com", ports=TCP, age=2022) + service("here/a", "a.com", age=2023)
    text += service("here/c", "a.com", "exportTo: [there]", age=2021)
    view = scope(text).view("a.com")
    assert view is not None
    assert [one.object_name for one in view.services] == ["b", "a"]
    assert [port.number for port in view.merged.ports] == [90, 80]
    # Endpoints come from entries that the client does not see, too.
    assert [entry.name for entry in view.entries] == ["c", "b", "a"]


def sidecar(egress: str, name: str = "here/default", more: str = "") -> str:
    return document("SC", name, f"egress: [{egress}]{more}")


TWO = service("here/own", "own.com") + service("there/far", "far.com", ports=f"{HTTP}, {TCP}")


@pytest.mark.parametrize(
    ("egress", "seen"),
    [
        ("{hosts: ['*/*']}", ["far.com", "own.com"]),
        ("{hosts: ['./*']}", ["own.com"]),
        ("{hosts: ['there/*']}", ["far.com"]),
        ("{hosts: ['there/*.com']}", ["far.com"]),
        ("{hosts: ['*/far.com']}", ["far.com"]),
        ("{hosts: ['*/*', '~there/far.com']}", ["own.com"]),
        ("{hosts: ['*/*', '~/*']}", []),
        ("{hosts: ['*/other.com']}", []),
        ("{port: {number: 90, name: tcp, protocol: TCP}, hosts: ['*/*']}", ["far.com"]),
    ],
)
def test_egress_hosts(egress: str, seen: list[str]) -> None:
    made = scope(TWO + sidecar(egress))
    assert [host for host in ("far.com", "own.com") if made.view(host)] == seen


def test_a_listener_with_a_port_takes_that_port_from_the_others() -> None:
    egress = "{port: {number: 90, name: tcp, protocol: TCP}, hosts: ['there/*']}, {hosts: ['*/*']}"
    view = scope(TWO + sidecar(egress)).view("far.com")
    assert view is not None
    assert [port.number for port in view.merged.ports] == [90, 80]
    assert [[port.number for port in one.ports] for one in view.services] == [[90, 80]]


@pytest.mark.parametrize(
    ("documents", "labels", "name"),
    [
        (["here/plain", "here/chosen"], {"app": "x"}, "chosen"),
        (["here/plain", "here/chosen"], {}, "plain"),
        (["istio-system/plain"], {}, "plain"),
        (["istio-system/plain", "here/plain"], {}, "plain"),
        (["there/plain"], {}, None),
    ],
)
def test_which_sidecar(documents: list[str], labels: dict[str, str], name: str | None) -> None:
    text = ""
    for one in documents:
        selector = ", workloadSelector: {labels: {app: x}}" if one.endswith("chosen") else ""
        text += sidecar("{hosts: ['*/*']}", one, selector)
    chosen = scope(text, Node(namespace="here", labels=labels)).sidecar
    assert (None if chosen is None else chosen.name) == name
    if documents == ["istio-system/plain", "here/plain"]:
        assert chosen is not None
        assert chosen.namespace == "here"


def test_routers_have_no_sidecar() -> None:
    made = scope(TWO + sidecar("{hosts: ['./*']}"), Node(namespace="here", type="router"))
    assert made.sidecar is None
    assert made.view("far.com") is not None


DRAWS = "hosts: [own.com], http: [{route: [{destination: {host: far.com, port: {number: 80}}}]}]"


@pytest.mark.parametrize(
    ("rule", "ports"),
    [
        (DRAWS, [80]),
        (DRAWS.replace(", port: {number: 80}", ""), [80, 90]),
        (DRAWS.replace("number: 80", "number: 7"), None),
        (DRAWS.replace("own.com", "other.org"), [80]),
        (DRAWS.replace("{route", "{match: [{sourceNamespace: there}], route"), None),
        (DRAWS.replace("{route", "{match: [{sourceNamespace: here}], route"), [80]),
        ("hosts: [own.com], tcp: [{route: [{destination: {host: far.com, port: {number: 90}}}]}]", [90]),
        (
            DRAWS.replace("far.com", "own.com").replace("}]}]", "}], mirror: {host: far.com, port: {number: 80}}}]"),
            [80],
        ),
    ],
)
def test_a_sidecar_takes_in_destinations_of_rules(rule: str, ports: list[int] | None) -> None:
    view = scope(TWO + sidecar("{hosts: ['./*']}") + document("VS", "here/vs", rule)).view("far.com")
    if ports is None:
        assert view is None
    else:
        assert view is not None
        assert view.imported
        assert [port.number for port in view.merged.ports] == ports


def test_a_destination_is_the_oldest_service_of_its_namespace_alone() -> None:
    text = service("there/b", "far.com", "exportTo: [there]", age=2021) + service("there/c", "far.com", age=2022)
    text += service("other/d", "far.com", age=2023) + service("other/e", "far.com", ports=TCP, age=2024)
    view = scope(text + sidecar("{hosts: ['./*']}") + document("VS", "here/vs", DRAWS)).view("far.com")
    assert view is not None
    assert (view.namespace, [port.number for port in view.merged.ports]) == ("other", [80])


def rule(name: str, host: str, more: str = "", *, age: int | None = None) -> str:
    return document("DR", name, f"host: '{host}'{more}", age=age)


@pytest.mark.parametrize(
    ("rules", "chosen"),
    [
        ([("there/exact", "a.x.com", "")], "exact"),
        ([("there/exact", "a.x.com", ""), ("here/wild", "*", "")], "wild"),
        ([("there/exact", "a.x.com", ""), ("there/wild", "*.x.com", "")], "exact"),
        ([("there/hidden", "a.x.com", "exportTo: [else]"), ("there/wild", "*.x.com", "")], None),
        (
            [("there/hidden", "a.x.com", "exportTo: [else]"), ("istio-system/root", "*.com", "")],
            "root",
        ),
        ([("else/third", "a.x.com", "")], None),
        ([("istio-system/root", "*.com", "exportTo: [.]")], None),
        ([("there/private", "a.x.com", "exportTo: [.]"), ("there/wild", "*.com", "")], "wild"),
        ([("there/named", "a.x.com", "exportTo: [here]")], "named"),
    ],
)
def test_which_destination_rule(rules: list[tuple[str, str, str]], chosen: str | None) -> None:
    text = service("there/svc", "a.x.com")
    for name, host, export in rules:
        text += rule(name, host, f", {export}" if export else "")
    made = scope(text)
    view = made.view("a.x.com")
    assert view is not None
    found = made.rule(view)
    assert (None if found is None else found.rules[0].name) == chosen


def test_a_rule_for_some_workloads_is_for_those_of_its_namespace() -> None:
    text = service("there/svc", "a.com") + rule("here/all", "a.com")
    text += rule("here/some", "a.com", ", workloadSelector: {matchLabels: {app: x}}")
    for labels, name in (({"app": "x"}, "some"), ({}, "all")):
        made = scope(text, Node(namespace="here", labels=labels))
        view = made.view("a.com")
        assert view is not None
        found = made.rule(view)
        assert found is not None
        assert found.rules[0].name == name


def vs(name: str, host: str, more: str = "", *, age: int | None = None) -> str:
    more = f", {more}" if more else ""
    spec = f"hosts: ['{host}'], http: [{{route: [{{destination: {{host: d.com}}}}]}}]{more}"
    return document("VS", name, spec, age=age)


def test_virtual_services_private_first_then_named_then_public_each_by_age() -> None:
    text = vs("there/public", "a.x.com", age=2020) + vs("there/named", "*.x.com", "exportTo: [here]", age=2022)
    text += vs("here/private", "a.x.com", "exportTo: [.]", age=2024) + vs("there/other", "a.x.com", "exportTo: [else]")
    text += vs("there/gateway", "a.x.com", "gateways: [edge]") + vs("here/none", "b.x.com")
    text += vs("there/older", "*.com", age=2019)
    made = scope(text)
    assert [one.name for one in made.virtual_services("a.x.com")] == ["private", "named", "older", "public"]
    assert [one.name for one in made.virtual_services("A.X.com")] == ["private", "named", "older", "public"]
    assert [one.name for one in made.virtual_services("a.x.com", "there/edge")] == ["gateway"]


def test_a_sidecar_selects_virtual_services_by_overlap() -> None:
    text = sidecar("{hosts: ['there/*.x.com']}")
    text += vs("there/over", "*.com") + vs("there/inside", "a.x.com") + vs("here/far", "a.x.com")
    assert [one.name for one in scope(text).virtual_services("a.x.com")] == ["inside", "over"]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ({}, ["a", "b"]),
        ({"app": "x"}, ["a"]),
        ({"topology.kubernetes.io/region": "r1"}, ["b"]),
        ({"app": "y"}, []),
    ],
)
def test_workloads(selector: dict[str, str], names: list[str]) -> None:
    text = document("WE", "here/b", "address: 10.0.0.2, locality: r1/z1")
    text += document("WE", "here/a", "address: 10.0.0.1, labels: {app: x}")
    text += document("WE", "there/c", "address: 10.0.0.3, labels: {app: x}")
    text += document("WE", "here/sick", "address: 10.0.0.4, labels: {app: x}").replace(
        "namespace: here}", "namespace: here, annotations: {proxy.istio.io/health-checks-enabled: 'true'}}"
    )
    assert [one.name for one in scope(text).workloads("here", selector)] == names


def test_services_on_a_port_oldest_first_and_read_one_by_one() -> None:
    text = service("here/a", "young.com", age=2024) + service("there/b", "old.com", age=2020)
    text += service("there/c", "other.com", ports=TCP, age=2019)
    made = scope(text)
    made.reading("mine.com")
    assert [view.host for view in made.services_on(80)] == ["old.com", "young.com"]
    assert made.notes()[1] == {80: None}
    made.reading("mine.com")
    assert next(iter(made.services_on(80))).host == "old.com"
    assert made.notes() == ({"h:old.com"}, {80: (1577836800.0, "old.com")})


def test_matching_covers_overlap_in_order() -> None:
    text = (
        service("here/a", "'*.x.com'", age=2024)
        + service("here/b", "a.x.com", age=2020)
        + service("here/c", "x.com", age=2019)
    )
    made = scope(text)
    assert [view.host for view in made.matching("*.com")] == ["x.com", "a.x.com", "*.x.com"]
    assert [view.host for view in made.matching("b.x.com")] == ["*.x.com"]


@pytest.mark.parametrize(
    ("modes", "found"),
    [({}, "UNSET"), ({"istio-system": "STRICT"}, "STRICT"), ({"istio-system": "STRICT", "here": "DISABLE"}, "DISABLE")],
)
def test_peer_authentication(modes: dict[str, str], found: str) -> None:
    text = "".join(document("PA", f"{name}/default", f"mtls: {{mode: {mode}}}") for name, mode in modes.items())
    text += document("PA", "here/some", "selector: {matchLabels: {app: x}}, mtls: {mode: PERMISSIVE}")
    assert scope(text).peer_authentication("here").mode == found


def test_gateways_of_a_router_by_age() -> None:
    server = f"servers: [{{port: {HTTP}, hosts: ['*']}}]"
    text = document("GW", "here/young", f"{server}, selector: {{app: gw}}", age=2024)
    text += document("GW", "there/old", f"{server}, selector: {{app: gw}}", age=2020)
    text += document("GW", "there/other", f"{server}, selector: {{app: other}}")
    made = scope(text, Node(type="router", labels={"app": "gw"}))
    assert [one.name for one in made.gateways()] == ["old", "young"]


@pytest.mark.parametrize(
    ("policy", "outbound"),
    [
        ("", ("ALLOW_ANY", "")),
        ("outboundTrafficPolicy: {}", ("REGISTRY_ONLY", "")),
        ("outboundTrafficPolicy: {mode: ALLOW_ANY}", ("ALLOW_ANY", "")),
        (
            "outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: p.com, port: {number: 80}}}",
            ("ALLOW_ANY", "outbound|80||p.com"),
        ),
    ],
)
def test_outbound(policy: str, outbound: tuple[str, str]) -> None:
    text = document("SC", "here/default", policy) if policy else ""
    assert scope(text).outbound() == outbound
    assert scope(text, Node(namespace="here", type="router")).outbound() == ("GATEWAY", "")
