"""Listeners and the route tables they name: who shares an address, who wins, what becomes of the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest
from tests.xds.resources.documents import document, entry

from roadstead.mesh import Node

if TYPE_CHECKING:
    from tests.xds.resources.conftest import Send, Sent

ONE = "resolution: STATIC\n  endpoints: [{address: 10.0.0.1}]"
VIP = f"addresses: [240.0.0.1]\n  {ONE}"


def chain(written: Any) -> str:
    """A chain in a few words: "conditions -> cluster or table"."""
    match = written.get("filter_chain_match", {})
    words = [*match.get("server_names", [])]
    words += [f"{one['address_prefix']}/{one['prefix_len']}" for one in match.get("prefix_ranges", [])]
    words += ["http"] if match.get("application_protocols") == ["http/1.1", "h2c"] else []
    config = written["filters"][-1]["typed_config"]
    target = config.get("cluster") or config.get("rds", {}).get("route_config_name")
    target = target or "+".join(one["name"] for one in config["weighted_clusters"]["clusters"])
    return f"{' '.join(words) or 'any'} -> {target}"


def chains(sent: Sent, name: str) -> tuple[list[str], str]:
    """The chains of a listener, and its default one."""
    made: Any = sent.listeners[name]
    default = made.get("default_filter_chain")
    return [chain(one) for one in made["filter_chains"]], chain(default) if default else ""


PASS = "any -> PassthroughCluster"
A, B = "outbound|80||a.test", "outbound|80||b.test"


@pytest.mark.parametrize(
    ("services", "name", "expected"),
    [
        ([("80/h/HTTP", ONE)], "0.0.0.0_80", (["http -> 80"], PASS)),
        ([("80/h/HTTP", VIP)], "0.0.0.0_80", (["http -> 80"], PASS)),
        ([("80/t/TCP", ONE)], "0.0.0.0_80", ([f"any -> {A}"], "")),
        ([("80/t/TCP", VIP)], "240.0.0.1_80", ([f"any -> {A}"], "")),
        ([("80/t/TLS", ONE)], "0.0.0.0_80", ([f"a.test -> {A}"], PASS)),
        ([("80/t/TLS", VIP)], "240.0.0.1_80", ([f"any -> {A}"], "")),
        ([("80/s", ONE)], "0.0.0.0_80", (["http -> 80"], f"any -> {A}")),
        ([("80/s", VIP)], "240.0.0.1_80", (["http -> a.test:80"], f"any -> {A}")),
        ([("80/p/HTTP_PROXY", ONE)], "0.0.0.0_80", (["any -> 80"], "")),
        (
            [("80/t/TCP", f"addresses: [10.9.1.2/16]\n  {ONE}")],
            "0.0.0.0_80",
            ([f"10.9.0.0/16 -> {A}"], PASS),
        ),
        # Two services on one address: the older keeps what both want.
        ([("80/t/TCP", ONE), ("80/t/TCP", ONE)], "0.0.0.0_80", ([f"any -> {A}"], "")),
        ([("80/t/TCP", VIP), ("80/t/TCP", VIP)], "240.0.0.1_80", ([f"any -> {A}"], "")),
        ([("80/t/TLS", ONE), ("80/t/TLS", ONE)], "0.0.0.0_80", ([f"a.test -> {A}", f"b.test -> {B}"], PASS)),
        ([("80/h/HTTP", ONE), ("80/t/TCP", ONE)], "0.0.0.0_80", (["http -> 80"], f"any -> {B}")),
        ([("80/t/TCP", ONE), ("80/h/HTTP", ONE)], "0.0.0.0_80", (["http -> 80"], f"any -> {A}")),
        ([("80/t/TLS", ONE), ("80/h/HTTP", ONE)], "0.0.0.0_80", ([f"a.test -> {A}", "http -> 80"], PASS)),
        ([("80/s", VIP), ("80/s", VIP)], "240.0.0.1_80", (["http -> a.test:80"], f"any -> {A}")),
        # What only its own filter understands shares an address with nothing else.
        ([("80/m/MONGO", ONE), ("80/h/HTTP", ONE)], "0.0.0.0_80", ([f"any -> {A}"], "")),
    ],
)
def test_who_has_a_listener(
    send: Send, services: list[tuple[str, str]], name: str, expected: tuple[list[str], str]
) -> None:
    text = "".join(
        entry(f"{letter}.test", ports, more, created=f"2024-01-0{day}")
        for (ports, more), letter, day in zip(services, "ab", (1, 2), strict=False)
    )
    assert chains(send(text), name) == expected


def test_a_sniffed_service_with_an_address_of_its_own_answers_to_every_name(send: Send) -> None:
    made: Any = send(entry("a.test", "80/s", VIP)).routes
    assert list(made) == ["a.test:80"]
    assert [(host["name"], host["domains"]) for host in made["a.test:80"]["virtual_hosts"]] == [("a.test:80", ["*"])]


def test_tables_of_listeners_that_lost_are_not_sent(send: Send) -> None:
    text = entry("a.test", "80/s", VIP) + entry("b.test", "80/s", VIP, created="2024-02-01")
    assert list(send(text).routes) == ["a.test:80"]


@pytest.mark.parametrize(
    ("mesh", "cluster", "last"),
    [
        ("outboundTrafficPolicy: {mode: ALLOW_ANY}", "PassthroughCluster", "allow_any"),
        ("outboundTrafficPolicy: {mode: REGISTRY_ONLY}", "BlackHoleCluster", "block_all"),
    ],
)
def test_unknown_destinations(send: Send, mesh: str, cluster: str, last: str) -> None:
    sent = send(entry("a.test", "80/http/HTTP", ONE), mesh=mesh)
    assert chains(sent, "0.0.0.0_80")[1] == f"any -> {cluster}"
    assert chains(sent, "virtualOutbound") == (["any -> BlackHoleCluster", f"any -> {cluster}"], "")
    hosts: Any = sent.routes["80"]["virtual_hosts"]
    assert [host["name"] for host in hosts] == ["a.test:80", last]
    refused = hosts[-1]["routes"][0].get("direct_response")
    assert refused == ({"status": 502} if last == "block_all" else None)


def test_unknown_hosts_by_name(send: Send) -> None:
    sent = send(entry("a.test", "80/http/HTTP", ONE), mesh="outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}")
    made: Any = sent.listeners["virtualOutbound"]
    assert len(made["filter_chains"]) == 3
    assert [one["name"] for one in made["listener_filters"]] == ["envoy.filters.listener.http_inspector"]
    table = made["filter_chains"][1]["filters"][0]["typed_config"]["route_config"]
    assert table["virtual_hosts"][0]["routes"][0]["route"]["cluster"] == "AllowAnyDynamicDNSCluster"


@pytest.mark.parametrize(
    ("ips", "address", "more"),
    [
        ((), "0.0.0.0", []),
        (("10.0.0.1",), "0.0.0.0", []),
        (("2001:db8::1",), "::", []),
        (("10.0.0.1", "2001:db8::1"), "0.0.0.0", ["::"]),
    ],
)
def test_the_wildcard_is_of_the_nodes_families(send: Send, ips: tuple[str, ...], address: str, more: list[str]) -> None:
    made: Any = send(entry("a.test", "80/http/HTTP", ONE), Node(ips=ips)).listeners[f"{address}_80"]
    found = [one["address"]["socket_address"]["address"] for one in made.get("additional_addresses", [])]
    assert (made["address"]["socket_address"]["address"], found) == (address, more)


def test_detection_waits_as_long_as_the_mesh_says(send: Send) -> None:
    made = send(entry("a.test", "80/http/HTTP", ONE), mesh="protocolDetectionTimeout: 2s").listeners["0.0.0.0_80"]
    assert (made["listener_filters_timeout"], made["continue_on_listener_filters_timeout"]) == ("2s", True)


def test_a_mongo_port_has_mongos_filter(send: Send) -> None:
    made: Any = send(entry("a.test", "27017/m/MONGO", ONE)).listeners["0.0.0.0_27017"]
    filters = made["filter_chains"][0]["filters"]
    assert [one["name"].rpartition(".")[2] for one in filters] == ["mongo_proxy", "tcp_proxy"]


SIDECAR = """
{egress: [
  {port: {number: 9000, protocol: TCP, name: t}, hosts: ["./b.test"]},
  {port: {number: 15080, protocol: HTTP_PROXY, name: p}, bind: 127.0.0.1, captureMode: NONE, hosts: ["*/*"]},
  {hosts: ["./a.test"]}]}
"""


def test_egress_listeners_of_a_sidecar(send: Send) -> None:
    text = entry("a.test", "80/http/HTTP 9000/t/TCP", ONE) + entry("b.test", "80/http/HTTP 9000/t/TCP", ONE)
    sent = send(text + document("Sidecar", "s", SIDECAR))
    assert set(sent.listeners) == {"0.0.0.0_80", "0.0.0.0_9000", "127.0.0.1_15080", "virtualOutbound"}
    assert chains(sent, "0.0.0.0_9000") == (["any -> outbound|9000||b.test"], "")
    assert chains(sent, "127.0.0.1_15080") == (["any -> 15080"], "")
    assert "bind_to_port" not in sent.listeners["127.0.0.1_15080"]
    tables: Any = sent.routes
    assert [host["name"] for host in tables["80"]["virtual_hosts"]] == ["a.test:80", "allow_any"]
    proxied = {host["name"]: set(host["domains"]) for host in tables["15080"]["virtual_hosts"]}
    assert proxied["b.test:80"] == {"b.test", "b.test.", "b.test:80", "b.test.:80"}


CAUGHT = [
    # What an egress listener for a port has is its own; the others' addresses are still free.
    ("{number: 443, protocol: TLS, name: t}", "./a.test", "240.0.0.1_443", (["any -> outbound|443||a.test"], "")),
    ("{number: 443, protocol: TLS, name: t}", "./a.test", "240.0.0.2_443", (["any -> outbound|443||b.test"], "")),
    # It speaks its own protocol, the listener for everything else the service's.
    ("{number: 80, protocol: HTTP, name: h}", "./*", "0.0.0.0_80", (["http -> 80"], PASS)),
    ("{number: 80, protocol: HTTP, name: h}", "./*", "240.0.0.1_80", (["http -> a.test:80"], f"any -> {A}")),
    ("{number: 80, protocol: TCP, name: t}", "./b.test", "240.0.0.2_80", ([f"any -> {B}"], "")),
    # On an address of its own HTTP needs no finding out, intercepted or not.
    ("{number: 80, protocol: HTTP, name: h}, bind: 127.0.0.1", "./b.test", "127.0.0.1_80", (["any -> 80"], "")),
    ("{number: 80, protocol: HTTP, name: h}, bind: 127.0.0.1", "./b.test", "0.0.0.0_80", (["http -> 80"], PASS)),
]


@pytest.mark.parametrize(("port", "hosts", "name", "expected"), CAUGHT)
def test_an_egress_listener_for_one_port(
    send: Send, port: str, hosts: str, name: str, expected: tuple[list[str], str]
) -> None:
    text = entry("a.test", "443/t/TLS 80/s", VIP)
    text += entry("b.test", "443/t/TLS 80/http/HTTP", f"addresses: [240.0.0.2]\n  {ONE}")
    sidecar = f'{{egress: [{{port: {port}, hosts: ["{hosts}"]}}, {{hosts: ["*/*"]}}]}}'
    assert chains(send(text + document("Sidecar", "s", sidecar)), name) == expected


def test_the_route_table_of_a_port_is_that_of_its_egress_listener(send: Send) -> None:
    """Services and VirtualServices alike; the namespace of a host is chosen by each listener for itself."""
    text = entry("a.test", "80/http/HTTP 90/alt/HTTP", ONE) + entry("b.test", "80/http/HTTP 90/alt/HTTP", ONE)
    rule = '{hosts: ["*.test"], http: [{route: [{destination: {host: c.test}}]}]}'
    more = "{hosts: [b.test], http: [{route: [{destination: {host: d.test}}]}]}"
    text += document("VirtualService", "wild", rule, "elsewhere") + document("VirtualService", "exact", more)
    sidecar = """
    {egress: [{port: {number: 90, protocol: HTTP, name: h}, hosts: ["./a.test", "elsewhere/a.test"]},
              {hosts: ["./*"]}]}
    """
    tables: Any = send(text + document("Sidecar", "s", sidecar)).routes
    routed = {
        name: {host["name"]: host["routes"][0]["route"]["cluster"] for host in tables[name]["virtual_hosts"][:-1]}
        for name in ("80", "90")
    }
    assert routed == {
        "80": {"a.test:80": A, "b.test:80": "outbound|80||d.test"},
        "90": {"a.test:90": "outbound|90||c.test"},
    }


def test_a_host_of_another_namespace_for_each_egress_listener(send: Send) -> None:
    text = entry("a.test", "80/t/TCP", VIP)
    text += entry("a.test", "80/t/TCP 90/u/TCP", f"addresses: [240.0.0.2]\n  {ONE}", name="b").replace(
        "{name: b,", "{name: b, namespace: elsewhere,"
    )
    sidecar = '{egress: [{port: {number: 90, protocol: TCP, name: t}, hosts: ["*/*"]}, {hosts: ["*/*"]}]}'
    sent = send(text + document("Sidecar", "s", sidecar))
    assert {"240.0.0.2_90", "240.0.0.1_80"} == set(sent.listeners) - {"virtualOutbound"}
    # The first listener's namespace has the clusters.
    assert [name for name in sent.clusters if name.startswith("outbound")] == ["outbound|90||a.test"]


# Routers

ROUTER = Node(type="router", labels={"istio": "egress"}, namespace="default")
GATEWAY = """
{selector: {istio: egress}, servers: [
  {port: {number: 80, name: http, protocol: HTTP}, hosts: [a.test], tls: {httpsRedirect: true}},
  {port: {number: 8080, name: plain, protocol: HTTP}, hosts: ["*"]},
  {port: {number: 443, name: https, protocol: HTTPS}, hosts: [A.test],
   tls: {mode: MUTUAL, credentialName: cred, minProtocolVersion: TLSV1_2, subjectAltNames: [c.test]}},
  {port: {number: 9443, name: mesh, protocol: HTTPS}, hosts: [a.test],
   tls: {mode: ISTIO_MUTUAL, minProtocolVersion: TLSV1_3}},
  {port: {number: 9000, name: tcp, protocol: TCP}, bind: 10.0.0.9, hosts: ["*"]},
  {port: {number: 15443, name: auto, protocol: TLS}, hosts: ["*.test"], tls: {mode: AUTO_PASSTHROUGH}}]}
"""
RULES = """
{hosts: [a.test], gateways: [g], http: [{match: [{uri: {prefix: /x}}], route: [{destination: {host: a.test}}]}],
 tcp: [{route: [{destination: {host: a.test, port: {number: 80}}}]}]}
"""


@pytest.fixture
def routed(send: Send) -> Sent:
    inside = f"location: MESH_INTERNAL\n  {ONE}"
    text = entry("a.test", "80/http/HTTP", inside) + entry("b.test", "80/t/TCP", f"location: MESH_EXTERNAL\n  {ONE}")
    return send(text + document("Gateway", "g", GATEWAY) + document("VirtualService", "v", RULES), ROUTER)


def test_servers_of_a_router(routed: Sent) -> None:
    assert {name: chains(routed, name)[0] for name in routed.listeners} == {
        "0.0.0.0_80": ["any -> http.80"],
        "0.0.0.0_8080": ["any -> http.8080"],
        "0.0.0.0_443": ["A.test -> https.443.https.g.default"],
        "0.0.0.0_9443": ["a.test -> https.9443.mesh.g.default"],
        "10.0.0.9_9000": ["any -> outbound|80||a.test"],
        "0.0.0.0_15443": ["outbound_.80_._.a.test -> outbound_.80_._.a.test"],
    }
    assert all("default_filter_chain" not in made for made in routed.listeners.values())


@pytest.mark.parametrize(
    ("name", "ca", "certificate", "versions"),
    [
        (
            "0.0.0.0_443", "kubernetes://cred-cacert", "kubernetes://cred",
            {"tls_minimum_protocol_version": "TLSv1_2"},
        ),
        ("0.0.0.0_9443", "ROOTCA", "default", None),
    ],
)  # fmt: skip
def test_tls_that_a_router_ends(
    routed: Sent, name: str, ca: str, certificate: str, versions: dict[str, str] | None
) -> None:
    made: Any = routed.listeners[name]
    context = made["filter_chains"][0]["transport_socket"]["typed_config"]
    common = context["common_tls_context"]
    assert context["require_client_certificate"] is True
    assert common["combined_validation_context"]["validation_context_sds_secret_config"]["name"] == ca
    assert [secret["name"] for secret in common["tls_certificate_sds_secret_configs"]] == [certificate]
    assert common.get("tls_params") == versions
    assert common["alpn_protocols"] == ["h2", "http/1.1"]


def test_tables_of_a_router(routed: Sent) -> None:
    tables: Any = routed.routes
    (redirected,) = tables["http.80"]["virtual_hosts"]
    assert (redirected["name"], redirected["require_tls"]) == ("a.test:80", "ALL")
    assert [one["match"]["prefix"] for one in redirected["routes"]] == ["/x"]
    assert tables["https.443.https.g.default"]["virtual_hosts"] == [{"name": "blackhole:443", "domains": ["*"]}]


def test_tls_of_the_mesh_goes_on_to_clusters_named_after_it(routed: Sent) -> None:
    named: Any = routed.clusters["outbound_.80_._.a.test"]
    assert "transport_socket_matches" not in named
    assert named["eds_cluster_config"]["service_name"] == "outbound_.80_._.a.test"
    # Its endpoint does not speak it.
    assert routed.endpoints["outbound_.80_._.a.test"]["endpoints"] == [{"locality": {}}]
    assert "outbound_.80_._.b.test" not in routed.clusters


def test_an_http_proxy_for_the_workload(send: Send) -> None:
    """It has what the listener for every port has, told apart by the port in the Host header."""
    text = entry("a.test", "80/http/HTTP 81/alt/HTTP 9000/t/TCP", ONE) + entry("b.test", "90/http/HTTP", ONE)
    sidecar = "{egress: [{port: {number: 90, protocol: HTTP, name: h}, hosts: [./b.test]}, {hosts: [./a.test]}]}"
    text += document("Sidecar", "s", sidecar)
    sent = send(text, mesh="proxyHttpPort: 15002")
    made: Any = sent.listeners["127.0.0.1_15002"]
    assert chains(sent, "127.0.0.1_15002") == (["any -> http_proxy"], "")
    assert "bind_to_port" not in made
    assert (made["traffic_direction"], made["max_connections_to_accept_per_socket_event"]) == ("OUTBOUND", 1)
    assert "listener_filters" not in made
    manager = made["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["http_protocol_options"] == {"allow_absolute_url": True}
    table: Any = sent.routes["http_proxy"]
    found = {host["name"]: set(host["domains"]) for host in table["virtual_hosts"]}
    assert found == {
        "a.test:80": {"a.test", "a.test.", "a.test:80", "a.test.:80"},
        "a.test:81": {"a.test:81", "a.test.:81"},
        "allow_any": {"*"},
    }


def test_the_proxy_for_the_workload_is_at_its_own_address(send: Send) -> None:
    node = Node(ips=("2001:db8::1",), metadata={"HTTP_PROXY_PORT": "15007"})
    assert "::1_15007" in send(entry("a.test", "80/http/HTTP", ONE), node).listeners
    assert not any("15007" in name for name in send(entry("a.test", "80/http/HTTP", ONE)).listeners)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("DEFAULT", (True, None, "KEEP_UNCHANGED")),
        ("NONE", (False, None, "KEEP_UNCHANGED")),
        ("MERGE_SLASHES", (True, True, "KEEP_UNCHANGED")),
        ("DECODE_AND_MERGE_SLASHES", (True, True, "UNESCAPE_AND_FORWARD")),
    ],
)
@pytest.mark.parametrize("kind", ["sidecar", "router"])
def test_paths_are_normalised(
    send: Send, mode: str, expected: tuple[object, ...], kind: Literal["sidecar", "router"]
) -> None:
    gateway = "{selector: {}, servers: [{port: {number: 80, name: h, protocol: HTTP}, hosts: ['*']}]}"
    text = entry("a.test", "80/http/HTTP", ONE) + document("Gateway", "g", gateway)
    made: Any = send(text, Node(type=kind), f"pathNormalization: {{normalization: {mode}}}").listeners["0.0.0.0_80"]
    manager = made["filter_chains"][0]["filters"][0]["typed_config"]
    names = ("normalize_path", "merge_slashes", "path_with_escaped_slashes_action")
    assert tuple(manager.get(name) for name in names) == expected


def test_every_table_can_look_up_unknown_hosts(send: Send) -> None:
    """All of them end with those."""
    mesh = "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}\nproxyHttpPort: 15002"
    sent = send(entry("a.test", "80/http/HTTP", ONE), mesh=mesh)
    for name, place in (("0.0.0.0_80", 0), ("127.0.0.1_15002", 0), ("virtualOutbound", 1)):
        listener: Any = sent.listeners[name]
        filters = listener["filter_chains"][place]["filters"][0]["typed_config"]["http_filters"]
        caches = [one["typed_config"]["dns_cache_config"]["name"] for one in filters if "forward_proxy" in one["name"]]
        assert caches == ["allow_any_dfp_dns_cache"]


def test_only_finding_out_whether_it_is_http_is_given_up(send: Send) -> None:
    text = entry("a.test", "80/http/HTTP 9000/t/TCP", ONE)
    sent = send(text, mesh="protocolDetectionTimeout: 2s")
    found = {name: listener.get("listener_filters_timeout") for name, listener in sent.listeners.items()}
    assert found == {"0.0.0.0_80": "2s", "0.0.0.0_9000": "0s", "virtualOutbound": None}
