"""Clusters and endpoints as Envoy gets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.xds.resources.documents import document, entry

from roadstead import Registry
from roadstead.mesh import Node
from roadstead.xds.json import to_json
from roadstead.xds.resources import ResourceMaker

if TYPE_CHECKING:
    from tests.xds.resources.conftest import Send

HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
TWO = "resolution: STATIC\n  endpoints: [{address: 10.0.0.1, locality: r/z/s}, {address: 10.0.0.2, weight: 3}]"


def test_a_plain_cluster_says_what_istio_says(send: Send) -> None:
    sent = send(entry("a.test", "80/http/HTTP", f"location: MESH_EXTERNAL\n  {TWO}"))
    assert sent.clusters["outbound|80||a.test"] == {
        "name": "outbound|80||a.test",
        "type": "EDS",
        "connect_timeout": "10s",
        "lb_policy": "LEAST_REQUEST",
        "common_lb_config": {"healthy_panic_threshold": {}},
        "circuit_breakers": {
            "thresholds": [
                dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), 4294967295)
                | {"track_remaining": True}
            ]
        },
        "eds_cluster_config": {
            "eds_config": {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"},
            "service_name": "outbound|80||a.test",
        },
    }


def test_endpoints_stand_by_locality(send: Send) -> None:
    made = send(entry("a.test", "80/http/HTTP", TWO)).endpoints["outbound|80||a.test"]
    assert made["endpoints"] == [
        {
            "locality": {},
            "lb_endpoints": [
                {
                    "endpoint": {"address": {"socket_address": {"address": "10.0.0.2", "port_value": 80}}},
                    "load_balancing_weight": 3,
                }
            ],
            "load_balancing_weight": 3,
        },
        {
            "locality": {"region": "r", "zone": "z", "sub_zone": "s"},
            "lb_endpoints": [
                {
                    "endpoint": {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}}},
                    "load_balancing_weight": 1,
                }
            ],
            "load_balancing_weight": 1,
        },
    ]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("resolution: DNS", {"type": "STRICT_DNS", "dns_lookup_family": "V4_ONLY", "dns_refresh_rate": "7s"}),
        ("resolution: DNS_ROUND_ROBIN", {"type": "LOGICAL_DNS", "respect_dns_ttl": True, "dns_jitter": "0.100s"}),
        ("resolution: NONE", {"type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}),
    ],
)
def test_the_resolution_decides_the_type(send: Send, more: str, expected: dict[str, object]) -> None:
    sent = send(entry("a.test", "443/tls/TLS", more), mesh="dnsRefreshRate: 7s")
    made = sent.clusters["outbound|443||a.test"]
    assert {key: made.get(key) for key in expected} == expected
    assert ("load_assignment" in made) == ("DNS" in more)
    assert sent.endpoints == {}


def test_a_port_of_the_connection_itself_may_be_overridden(send: Send) -> None:
    more = "resolution: NONE\n  # target port\n"
    text = entry("a.test", "80/http/HTTP", more).replace("protocol: HTTP}", "protocol: HTTP, targetPort: 8080}")
    made = send(text).clusters["outbound|80||a.test"]
    assert made["original_dst_lb_config"] == {"upstream_port_override": 8080}


@pytest.mark.parametrize(
    ("policy", "field", "value"),
    [
        ("loadBalancer: {simple: RANDOM}", "lb_policy", "RANDOM"),
        ("loadBalancer: {simple: ROUND_ROBIN}", "lb_policy", None),
        ("loadBalancer: {consistentHash: {httpHeaderName: x}}", "ring_hash_lb_config", {"minimum_ring_size": "1024"}),
        (
            "loadBalancer: {consistentHash: {httpHeaderName: x, maglev: {tableSize: 65537}}}",
            "maglev_lb_config",
            {"table_size": "65537"},
        ),
        (
            "loadBalancer: {warmup: {duration: 15s}}",
            "least_request_lb_config",
            {
                "slow_start_config": {
                    "slow_start_window": "15s",
                    "aggression": {"default_value": 1, "runtime_key": "("},
                    "min_weight_percent": {"value": 10},
                }
            },
        ),
        (
            "connectionPool: {tcp: {tcpKeepalive: {probes: 3, time: 7200s, interval: 75s}}}",
            "upstream_connection_options",
            {"tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 7200, "keepalive_interval": 75}},
        ),
        (
            "outlierDetection: {consecutive5xxErrors: 0, interval: 5s, minHealthPercent: 25}",
            "outlier_detection",
            {"consecutive_5xx": 0, "enforcing_consecutive_5xx": 0, "enforcing_success_rate": 0, "interval": "5s"},
        ),
        ("connectionPool: {tcp: {connectTimeout: 1500ms}}", "connect_timeout", "1.500s"),
    ],
)
def test_policies(send: Send, policy: str, field: str, value: object) -> None:
    rule = document("DestinationRule", "a", f"{{host: a.test, trafficPolicy: {{{policy}}}}}")
    assert send(entry("a.test", "80/http/HTTP", TWO) + rule).clusters["outbound|80||a.test"].get(field) == value


@pytest.mark.parametrize(
    ("port", "policy", "options"),
    [
        ("80/http/HTTP", "connectionPool: {tcp: {maxConnections: 1}}", None),
        ("80/grpc/GRPC", "connectionPool: {tcp: {maxConnections: 1}}", {"explicit_http_config": {"http2_protocol_options": {}}}),
        (
            "80/auto",
            "connectionPool: {tcp: {maxConnections: 1}}",
            {"use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}}},
        ),
        (
            "80/grpc/GRPC",
            "connectionPool: {http: {maxConcurrentStreams: 17, http2KeepAlive: {interval: 18s, timeout: 19s}}}",
            {
                "explicit_http_config": {
                    "http2_protocol_options": {
                        "max_concurrent_streams": 17,
                        "connection_keepalive": {"interval": "18s", "timeout": "19s"},
                    }
                }
            },
        ),
        (
            "80/http/HTTP",
            "connectionPool: {http: {idleTimeout: 5s}}",
            {
                "common_http_protocol_options": {"idle_timeout": "5s"},
                "explicit_http_config": {"http_protocol_options": {}},
            },
        ),
        (
            "80/http/HTTP",
            "tls: {mode: SIMPLE}",
            {
                "upstream_http_protocol_options": {"auto_sni": True, "auto_san_validation": True},
                "explicit_http_config": {"http_protocol_options": {}},
            },
        ),
    ],
)  # fmt: skip
def test_how_http_is_spoken_upstream(send: Send, port: str, policy: str, options: dict[str, object] | None) -> None:
    rule = document("DestinationRule", "a", f"{{host: a.test, trafficPolicy: {{{policy}}}}}")
    made = (
        send(entry("a.test", port, TWO) + rule).clusters["outbound|80||a.test"].get("typed_extension_protocol_options")
    )
    expected = None if options is None else {HTTP: {"@type": f"type.googleapis.com/{HTTP}", **options}}
    assert made == expected


def test_automatic_tls_is_chosen_by_each_endpoint(send: Send) -> None:
    more = "location: MESH_INTERNAL\n  resolution: STATIC\n  endpoints: [{address: 10.0.0.1, serviceAccount: s}]"
    sent = send(entry("a.test", "80/http/HTTP", more))
    matches = sent.clusters["outbound|80||a.test"]["transport_socket_matches"]
    assert isinstance(matches, list)
    assert [(match["name"], match["match"]) for match in matches] == [
        ("tlsMode-istio", {"tlsMode": "istio"}),
        ("tlsMode-disabled", {}),
    ]
    spoken = matches[0]["transport_socket"]["typed_config"]
    assert spoken["sni"] == "outbound_.80_._.a.test"
    names = spoken["common_tls_context"]["combined_validation_context"]["default_validation_context"]
    assert names == {"match_subject_alt_names": [{"exact": "spiffe://cluster.local/ns/default/sa/s"}]}
    groups = sent.endpoints["outbound|80||a.test"]["endpoints"]
    assert isinstance(groups, list)
    assert groups[0]["lb_endpoints"][0]["metadata"] == {
        "filter_metadata": {"envoy.transport_socket_match": {"tlsMode": "istio"}}
    }


@pytest.mark.parametrize(
    ("tls", "names"),
    [
        ("{mode: SIMPLE}", ("file-root:system", None)),
        ("{mode: SIMPLE, caCertificates: /ca.pem}", ("file-root:/ca.pem", None)),
        (
            "{mode: MUTUAL, clientCertificate: /c.pem, privateKey: /k.pem, sni: s.test}",
            ("file-root:system", "file-cert:/c.pem~/k.pem"),
        ),
        ("{mode: ISTIO_MUTUAL}", ("ROOTCA", "default")),
    ],
)
def test_secrets_are_asked_for_by_istios_names(send: Send, tls: str, names: tuple[str, str | None]) -> None:
    rule = document("DestinationRule", "a", f"{{host: a.test, trafficPolicy: {{tls: {tls}}}}}")
    made = send(entry("a.test", "443/tls/TLS", TWO) + rule).clusters["outbound|443||a.test"]["transport_socket"]
    assert isinstance(made, dict)
    common = made["typed_config"]["common_tls_context"]
    ca = common["combined_validation_context"]["validation_context_sds_secret_config"]["name"]
    certificates = [secret["name"] for secret in common.get("tls_certificate_sds_secret_configs", [])]
    assert (ca, certificates) == (names[0], [names[1]] if names[1] else [])


def test_what_is_not_verified_has_no_authority(send: Send) -> None:
    rule = document(
        "DestinationRule", "a", "{host: a.test, trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true}}}"
    )
    made = send(entry("a.test", "443/tls/TLS", TWO) + rule).clusters["outbound|443||a.test"]["transport_socket"]
    assert isinstance(made, dict)
    assert made["typed_config"]["common_tls_context"]["validation_context"] == {}


def test_the_proxy_protocol_wraps_what_is_spoken(send: Send) -> None:
    rule = document("DestinationRule", "a", "{host: a.test, trafficPolicy: {proxyProtocol: {version: V2}}}")
    more = f"location: MESH_EXTERNAL\n  {TWO}"
    made = send(entry("a.test", "9000/tcp/TCP", more) + rule).clusters["outbound|9000||a.test"]["transport_socket"]
    assert isinstance(made, dict)
    assert made["typed_config"]["config"] == {"version": "V2"}
    assert made["typed_config"]["transport_socket"]["typed_config"]["@type"].endswith("RawBuffer")


@pytest.mark.parametrize(
    ("node", "mesh", "names"),
    [
        (Node(), "", {"BlackHoleCluster", "PassthroughCluster"}),
        (Node(type="router"), "", {"BlackHoleCluster"}),
        (
            Node(),
            "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}",
            {"BlackHoleCluster", "PassthroughCluster", "AllowAnyDynamicDNSCluster"},
        ),
    ],
)
def test_clusters_without_a_service(send: Send, node: Node, mesh: str, names: set[str]) -> None:
    assert set(send("", node, mesh or "connectTimeout: 4s").clusters) == names


def test_only_what_changed_is_made_again() -> None:
    registry = Registry.from_text(
        entry("a.test", "80/http/HTTP 81/other/HTTP", TWO) + entry("b.test", "80/http/HTTP", TWO), backend="fallback"
    )
    maker = ResourceMaker(registry.node)
    before = {to_json(message)["name"]: message for message in maker.clusters(registry.mesh)}
    assigned = {to_json(message)["cluster_name"]: message for message in maker.endpoints(registry.mesh)}
    registry.apply(put=entry("b.test", "80/http/HTTP", TWO.replace("10.0.0.1", "10.0.0.9")))
    after = {to_json(message)["name"]: message for message in maker.clusters(registry.mesh)}
    reassigned = {to_json(message)["cluster_name"]: message for message in maker.endpoints(registry.mesh)}
    for name in ("outbound|80||a.test", "outbound|81||a.test"):
        assert after[name] is before[name]
        assert reassigned[name] is assigned[name]
    assert reassigned["outbound|80||b.test"] is not assigned["outbound|80||b.test"]
    assert "10.0.0.9" in str(to_json(reassigned["outbound|80||b.test"]))


def test_equal_policies_share_their_messages(send: Send) -> None:
    sent = send(entry("a.test", "80/http/HTTP", TWO) + entry("b.test", "80/http/HTTP", TWO))
    one, two = sent.clusters["outbound|80||a.test"], sent.clusters["outbound|80||b.test"]
    assert one["circuit_breakers"] is two["circuit_breakers"]
    assert one["common_lb_config"] is two["common_lb_config"]


def test_mesh_settings_reach_what_has_no_policy(send: Send) -> None:
    made = send("", mesh="{connectTimeout: 4s, tcpKeepalive: {time: 30s}}").clusters["PassthroughCluster"]
    assert (made["connect_timeout"], made["upstream_connection_options"]) == (
        "4s",
        {"tcp_keepalive": {"keepalive_time": 30}},
    )


@pytest.mark.parametrize(
    ("tls", "insecure", "automatic"),
    [
        ("", True, None),
        (", tls: {mode: DISABLE}", True, None),
        (", tls: {mode: SIMPLE}", None, {"auto_sni": True, "auto_san_validation": True}),
        (", tls: {mode: SIMPLE, sni: s.test}", True, {"auto_san_validation": True}),
        (", tls: {mode: SIMPLE, insecureSkipVerify: true}", True, {"auto_sni": True}),
    ],
)
def test_unknown_hosts_that_are_looked_up(
    send: Send, tls: str, insecure: bool | None, automatic: dict[str, bool] | None
) -> None:
    sent = send(
        entry("a.test", "80/http/HTTP", TWO), mesh=f"outboundTrafficPolicy: {{mode: ALLOW_ANY_DYNAMIC_DNS{tls}}}"
    )
    made: Any = sent.clusters["AllowAnyDynamicDNSCluster"]
    assert made["cluster_type"]["typed_config"].get("allow_insecure_cluster_options") is insecure
    assert ("transport_socket" in made) == (automatic is not None)
    options = made["typed_extension_protocol_options"][HTTP]
    assert options.get("upstream_http_protocol_options") == automatic
    assert ("use_downstream_protocol_config" in options) == (automatic is None)
    assert ("explicit_http_config" in options) == (automatic is not None)
    plain: Any = sent.clusters["PassthroughCluster"]
    assert "transport_socket" not in plain


@pytest.mark.parametrize(
    ("tls", "insecure", "automatic"),
    [
        ("{mode: SIMPLE}", None, {"auto_sni": True, "auto_san_validation": True}),
        ("{mode: SIMPLE, sni: s.test}", True, {"auto_san_validation": True}),
        ("{mode: ISTIO_MUTUAL, insecureSkipVerify: true}", True, {"auto_sni": True}),
        ("{mode: DISABLE}", None, None),
    ],
)
def test_a_host_that_is_looked_up_must_be_who_it_says(
    send: Send, tls: str, insecure: bool | None, automatic: dict[str, bool] | None
) -> None:
    rule = document("DestinationRule", "a", f"{{host: '*.a.test', trafficPolicy: {{tls: {tls}}}}}")
    made: Any = send(entry("*.a.test", "80/http/HTTP", "resolution: DYNAMIC_DNS") + rule).clusters[
        "outbound|80||*.a.test"
    ]
    assert made["cluster_type"]["typed_config"].get("allow_insecure_cluster_options") is insecure
    options = made.get("typed_extension_protocol_options", {HTTP: {}})[HTTP]
    assert options.get("upstream_http_protocol_options") == automatic


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("%SERVICE%_%SERVICE_PORT%_%SERVICE_PORT_NAME%_%SUBSET_NAME%", "a.test_80_http_v1;"),
        ("x.%SERVICE_NAME%.%SERVICE_FQDN%.%TARGET_PORT%", "x.a.test.a.test.0;"),
    ],
)
def test_the_mesh_names_clusters_in_statistics(send: Send, pattern: str, expected: str) -> None:
    rule = document("DestinationRule", "a", "{host: a.test, subsets: [{name: v1}]}")
    text = entry("a.test", "80/http/HTTP", TWO) + rule
    name = "outbound|80|v1|a.test"
    assert send(text, mesh=f"outboundClusterStatName: '{pattern}'").clusters[name]["alt_stat_name"] == expected
    assert "alt_stat_name" not in send(text).clusters[name]
