"""VirtualServices made ready."""

from __future__ import annotations

import pytest
from tests.compile.selected import resources, virtual_service

from roadstead.compile.virtual_services import PreparedVirtualService, prepare
from roadstead.config import Resource

ROUTE = "route: [{destination: {host: a.test}}]"


def made(spec: str, *others: str, **options: object) -> PreparedVirtualService | None:
    root = resources(virtual_service("root", spec))[0]
    known = {(other.namespace, other.name): other for text in others for other in resources(text)}

    def lookup(namespace: str, name: str) -> Resource | None:
        return known.get((namespace, name))

    return prepare(root, lookup, **options)


@pytest.mark.parametrize(
    ("written", "full"),
    [
        ("reviews", "reviews.default.svc.cluster.local"),
        ("reviews.prod", "reviews.prod"),
        ("*", "*"),
        ("*.Example.com", "*.example.com"),
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_hosts_are_in_full_and_in_lower_case(written: str, full: str) -> None:
    prepared = made(f"hosts: ['{written}']")
    assert prepared is not None
    assert prepared.hosts == (full,)


def test_hosts_keep_their_case_beside() -> None:
    prepared = made("hosts: [A.test, b]")
    assert prepared is not None
    assert prepared.written == ("A.test", "b.default.svc.cluster.local")


@pytest.mark.parametrize(
    ("written", "bound"),
    [
        ("[]", ("mesh",)),
        ("[mesh, gw]", ("mesh", "default/gw")),
        ("[./gw, other/gw, gw.old, gw.old.svc.cluster.local]", ("default/gw", "other/gw", "old/gw", "old/gw")),
    ],
)
def test_gateways(written: str, bound: tuple[str, ...]) -> None:
    prepared = made(f"hosts: [a.test]\ngateways: {written}")
    assert prepared is not None
    assert prepared.gateways == bound


def test_destinations_and_mirrors_are_in_full_and_keep_their_case() -> None:
    prepared = made(
        """
        hosts: [a.test]
        http:
        - match: [{gateways: [gw]}]
          route: [{destination: {host: reviews}}, {destination: {host: B.test}, weight: 1}]
          mirror: {host: shadow}
          mirrors: [{destination: {host: shade}}]
        tls: [{match: [{sniHosts: [a.test]}], route: [{destination: {host: db}}]}]
        tcp: [{route: [{destination: {host: db}}]}]
        """
    )
    assert prepared is not None
    route = prepared.http[0].route
    suffix = ".default.svc.cluster.local"
    assert [item.destination.host for item in route.route] == [f"reviews{suffix}", "B.test"]
    assert (route.mirror.host, route.mirrors[0].destination.host) == (f"shadow{suffix}", f"shade{suffix}")
    assert route.match[0].gateways == ("default/gw",)
    assert {item.route[0].destination.host for item in (*prepared.tls, *prepared.tcp)} == {f"db{suffix}"}


def test_what_has_nothing_short_is_the_same_object() -> None:
    root = resources(virtual_service("root", f"hosts: [a.test]\nhttp: [{{{ROUTE}}}]"))[0]
    prepared = prepare(root, lambda namespace, name: None)
    assert prepared is not None
    assert prepared.http[0].route is root.spec.http[0]


def test_a_delegate_is_no_virtual_service_of_its_own() -> None:
    assert made(f"http: [{{{ROUTE}}}]") is None


DELEGATING = """
hosts: [a.test]
http:
- delegate: {name: leaf, namespace: team}
- route: [{destination: {host: own.test}}]
"""
LEAF = "http: [{name: x, route: [{destination: {host: short}}]}, {route: [{destination: {host: b.test}}]}]"


def hosts(prepared: PreparedVirtualService | None) -> list[str]:
    assert prepared is not None
    return [rule.route.route[0].destination.host for rule in prepared.http]


def test_a_delegates_routes_take_the_place_of_the_roots() -> None:
    prepared = made(DELEGATING, virtual_service("leaf", LEAF, "team"))
    assert hosts(prepared) == ["short.team.svc.cluster.local", "b.test", "own.test"]
    assert prepared is not None
    assert [(rule.index, rule.delegate) for rule in prepared.http] == [
        (0, ("team", "leaf", 0)),
        (0, ("team", "leaf", 1)),
        (1, None),
    ]


@pytest.mark.parametrize(
    ("leaf", "options"),
    [
        pytest.param("", {}, id="missing"),
        pytest.param(f"hosts: [b.test]\n{LEAF}", {}, id="a root"),
        pytest.param(f"exportTo: ['.']\n{LEAF}", {}, id="private to its namespace"),
        pytest.param(f"exportTo: [other]\n{LEAF}", {}, id="exported to others"),
        pytest.param(LEAF, {"default_export_to": (".",)}, id="private by the mesh's default"),
        pytest.param("http: [{delegate: {name: deeper}}]", {}, id="delegating itself"),
    ],
)
def test_a_delegate_that_cannot_be_used_drops_its_route_only(leaf: str, options: dict[str, object]) -> None:
    others = [virtual_service("leaf", leaf, "team")] if leaf else []
    prepared = made(DELEGATING, *others, **options)
    assert hosts(prepared) == ["own.test"]
    assert prepared is not None
    assert prepared.delegates == (("team", "leaf"),)


@pytest.mark.parametrize("exported", ["['*']", "[default]", "[other, default]"])
def test_a_delegate_is_exported_to_the_root(exported: str) -> None:
    leaf = virtual_service("leaf", f"exportTo: {exported}\n{LEAF}", "team")
    assert len(hosts(made(DELEGATING, leaf))) == 3
