"""The clusters of a host."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compile import one_rule
from tests.compile.one_client import OneClient, addresses, places

from roadstead.compile.clusters import clusters_of, hash_keys, policy_of
from roadstead.mesh import Cluster, HashKey, Node, Origin, parse_cluster_name

ENTRY = """
---
kind: ServiceEntry
metadata: {{name: se, namespace: prod, annotations: {annotations}}}
spec:
  hosts: ["{host}"]
  resolution: {resolution}
  ports: [{{number: 80, name: web, protocol: HTTP, targetPort: 8080}}, {{number: 443, name: tls, protocol: TLS}}]
  endpoints: {endpoints}
"""
RULE = """
---
kind: DestinationRule
metadata: {{name: dr, namespace: prod}}
spec: {{host: "{host}", {spec}}}
"""
TWO = "[{address: 10.0.0.1, labels: {v: '1'}}, {address: 10.0.0.2, labels: {v: '2'}}]"


def clusters(
    resolution: str,
    endpoints: str = "[]",
    *,
    rule: str = "",
    host: str = "a.test",
    annotations: str = "{}",
    **client: Any,
) -> dict[str, Cluster]:
    text = ENTRY.format(host=host, resolution=resolution, endpoints=endpoints, annotations=annotations)
    return OneClient(text + (RULE.format(host=host, spec=rule) if rule else ""), **client).clusters(host)


SUBSETS = "subsets: [{name: one, labels: {v: '1'}}, {name: all}, {name: nobody, labels: {v: '9'}}]"
PASSTHROUGH = "trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}"


class TestTypes:
    @pytest.mark.parametrize(
        ("resolution", "endpoints", "sidecar", "router"),
        [
            ("STATIC", TWO, "EDS", "EDS"),
            ("STATIC", "[]", "EDS", "EDS"),
            ("DNS", "[]", "STRICT_DNS", "STRICT_DNS"),
            ("DNS", TWO, "STRICT_DNS", "STRICT_DNS"),
            ("DNS_ROUND_ROBIN", "[]", "LOGICAL_DNS", "LOGICAL_DNS"),
            ("NONE", "[]", "ORIGINAL_DST", "EDS"),
            # Names are looked up for each request under wildcards only.
            ("DYNAMIC_DNS", "[]", "EDS", "EDS"),
        ],
    )
    def test_by_resolution(self, resolution: str, endpoints: str, sidecar: str, router: str) -> None:
        kinds: tuple[tuple[Literal["sidecar", "router"], str], ...] = (("sidecar", sidecar), ("router", router))
        for kind, expected in kinds:
            made = clusters(resolution, endpoints, node=Node(type=kind))
            assert [cluster.type for cluster in made.values()] == [expected, expected]

    def test_racing_connections(self) -> None:
        race = "{istio.io/connect-strategy: RACE_FIRST_TCP_CONNECT}"
        made = clusters("DNS", annotations=race)["80"]
        assert (made.type, made.dns_lookup_family) == ("LOGICAL_DNS", "ALL")
        assert clusters("STATIC", TWO, annotations=race)["80"].type == "EDS"

    @pytest.mark.parametrize("resolution", ["STATIC", "DNS"])
    def test_passthrough_keeps_no_endpoints(self, resolution: str) -> None:
        made = clusters(resolution, TWO, rule=PASSTHROUGH)["80"]
        assert (made.type, made.groups, made.load_balancer.policy) == ("ORIGINAL_DST", (), "CLUSTER_PROVIDED")
        # Only what is dialled by itself has its port replaced.
        assert made.port_override == 0

    def test_a_dialled_address_gets_the_target_port(self) -> None:
        made = clusters("NONE")
        assert {at: one.port_override for at, one in made.items()} == {"80": 8080, "443": 0}
        assert clusters("NONE", node=Node(type="router"))["80"].port_override == 0

    @pytest.mark.parametrize(
        ("ips", "family"),
        [
            ((), "V4_ONLY"),
            (("10.0.0.1",), "V4_ONLY"),
            (("fd00::1",), "V6_ONLY"),
            (("10.0.0.1", "fd00::1"), "V4_ONLY"),
            (("fd00::1", "10.0.0.1"), "V4_ONLY"),
        ],
    )
    def test_families_looked_up(self, ips: tuple[str, ...], family: str) -> None:
        assert clusters("DNS", node=Node(ips=ips))["80"].dns_lookup_family == family
        assert clusters("STATIC", TWO, node=Node(ips=ips))["80"].dns_lookup_family == ""


class TestDynamic:
    TEXT = """
    kind: ServiceEntry
    metadata: {name: se}
    spec:
      hosts: ["*.a.test"]
      resolution: DYNAMIC_DNS
      ports:
      - {number: 1, name: a, protocol: HTTP}
      - {number: 2, name: b, protocol: TLS}
      - {number: 3, name: c, protocol: GRPC}
      - {number: 4, name: d, protocol: HTTP2}
      - {number: 5, name: e, protocol: TCP}
      - {number: 6, name: f, protocol: HTTPS}
      - {number: 7, name: g}
    """

    def test_has_clusters_for_what_carries_a_name(self) -> None:
        made = OneClient(self.TEXT).clusters("*.a.test")
        assert list(made) == ["1", "2", "3", "4"]
        assert {cluster.type for cluster in made.values()} == {"DYNAMIC_DNS"}

    def test_has_no_subsets_and_no_balancer(self) -> None:
        rule = RULE.format(host="*.a.test", spec=f"trafficPolicy: {{loadBalancer: {{simple: RANDOM}}}}, {SUBSETS}")
        made = OneClient(self.TEXT + rule).clusters("*.a.test")
        assert list(made) == ["1", "2", "3", "4"]
        assert made["1"].load_balancer.policy == "CLUSTER_PROVIDED"
        assert made["1"].groups == ()


class TestSubsets:
    def test_of_addresses_exist_even_without_members(self) -> None:
        made = clusters("STATIC", TWO, rule=SUBSETS)
        assert list(made) == ["80", "80/one", "80/all", "80/nobody", "443", "443/one", "443/all", "443/nobody"]
        assert addresses(made["80/one"]) == ["10.0.0.1:8080"]
        assert addresses(made["80/all"]) == addresses(made["80"]) == ["10.0.0.1:8080", "10.0.0.2:8080"]
        assert addresses(made["80/nobody"]) == []

    def test_of_names_exist_only_with_members(self) -> None:
        assert list(clusters("DNS", TWO, rule=SUBSETS)) == ["80", "80/one", "80/all", "443", "443/one", "443/all"]
        # The host itself carries no labels.
        assert list(clusters("DNS", rule=SUBSETS)) == ["80", "80/all", "443", "443/all"]

    def test_of_a_service_that_passes_through_all_exist(self) -> None:
        made = clusters("DNS", TWO, rule=f"{PASSTHROUGH}, {SUBSETS}")["80/nobody"]
        assert (made.type, made.dns_lookup_family) == ("ORIGINAL_DST", "")

    def test_of_dialled_addresses_all_exist(self) -> None:
        assert "80/nobody" in clusters("NONE", rule=SUBSETS)

    def test_say_where_they_come_from(self) -> None:
        made = clusters("STATIC", TWO, rule=SUBSETS)
        assert made["80/one"].subset_labels == {"v": "1"}
        assert made["80/one"].subset_origin == Origin("DestinationRule", "prod", "dr", "/spec/subsets/0")
        assert (made["80"].subset_labels, made["80"].subset_origin) == (None, None)
        assert made["80/one"].origin == Origin("ServiceEntry", "prod", "se")


class TestSharing:
    def test_the_same_endpoints_under_the_same_policy_are_one_object(self) -> None:
        made = clusters("STATIC", TWO, rule=SUBSETS)
        assert made["80"].groups is made["80/all"].groups
        assert made["80"].policy is made["80/all"].policy

    def test_a_subset_with_localities_of_its_own_does_not_share(self) -> None:
        rule = (
            "subsets: [{name: far, trafficPolicy: {loadBalancer: {localityLbSetting: "
            "{distribute: [{from: '*', to: {'r2/*': 100}}]}}}}]"
        )
        made = clusters("STATIC", "[{address: 10.0.0.1, locality: r1}, {address: 10.0.0.2, locality: r2}]", rule=rule)
        assert addresses(made["80"]) == ["10.0.0.1:8080", "10.0.0.2:8080"]
        assert addresses(made["80/far"]) == ["10.0.0.2:8080"]


class TestNames:
    def test_can_be_read_back(self) -> None:
        for at, made in clusters("STATIC", TWO, rule=SUBSETS, host="*.a.test").items():
            port, _, subset = at.partition("/")
            assert parse_cluster_name(made.name) == (int(port), subset, "*.a.test")
            assert (made.host, made.namespace) == ("*.a.test", "prod")

    def test_udp_ports_have_none(self) -> None:
        text = ENTRY.format(host="a.test", resolution="DNS", endpoints="[]", annotations="{}")
        assert list(OneClient(text.replace("protocol: TLS", "protocol: UDP")).clusters("a.test")) == ["80"]

    def test_carry_the_port(self) -> None:
        made = clusters("DNS")["443"]
        assert (made.port_name, made.protocol) == ("tls", "TLS")


PLACES = """[
    {address: 10.0.0.1, locality: r1/z1, weight: 2}, {address: 10.0.0.2, locality: r1/z2},
    {address: 10.0.0.3, locality: r2}, {address: 10.0.0.4}]
"""
HERE = Node(locality="r1/z1", labels={"app": "x"})
OUTLIER = "trafficPolicy: {outlierDetection: {}}"


class TestLocalities:
    @pytest.mark.parametrize("resolution", ["STATIC", "DNS"])
    def test_without_ejection_there_is_one_pool(self, resolution: str) -> None:
        made = clusters(resolution, PLACES, node=HERE)["80"]
        assert [(locality, priority, weight) for locality, priority, weight, _ in places(made)] == [
            ("", 0, 1),
            ("r1/z1", 0, 2),
            ("r1/z2", 0, 1),
            ("r2", 0, 1),
        ]

    @pytest.mark.parametrize("resolution", ["STATIC", "DNS"])
    def test_ejection_orders_localities(self, resolution: str) -> None:
        made = clusters(resolution, PLACES, rule=OUTLIER, node=HERE)["80"]
        found = {locality: priority for locality, priority, _, _ in places(made)}
        assert found == {"r1/z1": 0, "r1/z2": 1, "r2": 2, "": 2}

    def test_the_meshs_ejection_orders_what_dns_finds_only(self) -> None:
        mesh = "{defaultTrafficPolicy: {outlierDetection: {}}}"
        for resolution, levels in (("STATIC", {0}), ("DNS", {0, 1, 2})):
            made = clusters(resolution, PLACES, node=HERE, mesh=mesh)["80"]
            assert made.outlier_detection is not None
            assert {group.priority for group in made.groups} == levels

    def test_the_mesh_can_switch_it_off(self) -> None:
        made = clusters("STATIC", PLACES, rule=OUTLIER, node=HERE, mesh="{localityLbSetting: {enabled: false}}")["80"]
        assert {group.priority for group in made.groups} == {0}

    def test_a_rules_setting_replaces_the_meshs(self) -> None:
        mesh = "{localityLbSetting: {distribute: [{from: '*', to: {'r2/*': 100}}]}}"
        assert addresses(clusters("STATIC", PLACES, node=HERE, mesh=mesh)["80"]) == ["10.0.0.3:8080"]
        rule = "trafficPolicy: {loadBalancer: {localityLbSetting: {enabled: true}}}"
        assert len(addresses(clusters("STATIC", PLACES, rule=rule, node=HERE, mesh=mesh)["80"])) == 4

    @pytest.mark.parametrize(
        ("word", "levels"),
        [
            ("PreferClose", {"r1/z1": 0, "r1/z2": 1, "r2": 2, "": 2}),
            ("sometimes", {"r1/z1": 0, "r1/z2": 0, "r2": 0, "": 0}),
        ],
    )
    def test_traffic_distribution_needs_no_ejection(self, word: str, levels: dict[str, int]) -> None:
        made = clusters(
            "STATIC", PLACES, node=HERE, annotations=f"{{networking.istio.io/traffic-distribution: {word}}}"
        )["80"]
        assert {locality: priority for locality, priority, _, _ in places(made)} == levels

    def test_the_priority_label_comes_first(self) -> None:
        endpoints = """[
            {address: 10.0.0.1, locality: r2, labels: {priority: high}},
            {address: 10.0.0.2, locality: r1/z1, labels: {priority: low}},
            {address: 10.0.0.3, locality: r1/z1, labels: {priority: high}}]"""

        def levels(rule: str, extended: bool) -> dict[str, int]:
            made = clusters("STATIC", endpoints, rule=rule, node=HERE, extended=extended)["80"]
            return {member.address: group.priority for group in made.groups for member in group.endpoints}

        assert levels("", True) == {"10.0.0.1": 0, "10.0.0.2": 1, "10.0.0.3": 0}
        # Where localities have an order, it holds inside each level.
        assert levels(OUTLIER, True) == {"10.0.0.3": 0, "10.0.0.1": 1, "10.0.0.2": 2}
        assert levels("", False) == {"10.0.0.1": 0, "10.0.0.2": 0, "10.0.0.3": 0}


class TestNetworks:
    NETWORKS = "{networks: {net2: {gateways: [{address: 192.0.2.2, port: 15443}]}}}"
    ENDPOINTS = """[
        {address: 10.0.0.1, network: net1}, {address: 10.0.0.2, network: net2, weight: 3},
        {address: 10.0.0.3, network: net2, serviceAccount: sa}, {network: net2, serviceAccount: sa}, {network: net3}]
    """

    def test_other_networks_are_reached_through_their_gateways(self) -> None:
        made = clusters("STATIC", self.ENDPOINTS, node=Node(network="net1"), networks=self.NETWORKS)["80"]
        assert places(made) == [("", 0, 3, ["10.0.0.1:8080*1", "192.0.2.2:15443*2"])]

    def test_a_rules_tls_forbids_what_endpoints_could_speak(self) -> None:
        for mode, expected in (
            ("ISTIO_MUTUAL", ["10.0.0.1:8080*1", "192.0.2.2:15443*2"]),
            ("DISABLE", ["10.0.0.1:8080*1"]),
        ):
            made = clusters(
                "STATIC",
                self.ENDPOINTS,
                node=Node(network="net1"),
                networks=self.NETWORKS,
                rule=f"trafficPolicy: {{tls: {{mode: {mode}}}}}",
            )["80"]
            assert places(made)[0][3] == expected

    def test_without_gateways_everything_is_near_even_what_has_no_address(self) -> None:
        made = clusters("STATIC", self.ENDPOINTS, node=Node(network="net1"))["80"]
        assert addresses(made) == ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080", ":8080", ":8080"]


def test_the_same_input_gives_the_same_clusters() -> None:
    text = ENTRY.format(host="a.test", resolution="STATIC", endpoints=PLACES, annotations="{}")
    client = OneClient(text + RULE.format(host="a.test", spec=f"{OUTLIER}, {SUBSETS}"), node=HERE)
    view = client.view("a.test")
    first, second = clusters_of(client, view), clusters_of(client, view)
    assert first == second
    assert all(one.policy is other.policy for one, other in zip(first, second, strict=True))


HEADER = "{{consistentHash: {{httpHeaderName: {}}}}}".format


class TestHashKeysOfRoutes:
    RULE = (
        f"trafficPolicy: {{loadBalancer: {HEADER('rule')}, "
        f"portLevelSettings: [{{port: {{number: 80}}, loadBalancer: {HEADER('rule-port')}}}, {{port: {{number: 81}}}}]}}, "
        f"subsets: [{{name: s, trafficPolicy: {{loadBalancer: {HEADER('subset')}, "
        f"portLevelSettings: [{{port: {{number: 80}}, loadBalancer: {HEADER('subset-port')}}}]}}}}, {{name: bare}}]"
    )

    @pytest.mark.parametrize(
        ("port", "subset", "explicit", "name"),
        [
            (80, "s", True, "subset-port"),
            (80, "s", False, "subset"),
            (81, "s", True, "subset"),
            (80, "bare", True, "rule-port"),
            (80, "", True, "rule-port"),
            (80, "", False, "rule"),
            # Settings for a port that do not hash do not hide those that do.
            (81, "", True, "rule"),
            (80, "unknown", False, "rule"),
        ],
    )
    def test_precedence(self, port: int, subset: str, explicit: bool, name: str) -> None:
        one = one_rule.client(self.RULE)
        assert hash_keys(one, one.view("a.test"), port, subset, explicit) == (HashKey("header", name),)

    @pytest.mark.parametrize(
        "rules",
        [
            (),
            ("subsets: []",),
            ("trafficPolicy: {loadBalancer: {simple: RANDOM}}",),
        ],
    )
    def test_nothing_to_hash(self, rules: tuple[str, ...]) -> None:
        one = one_rule.client(*rules)
        assert hash_keys(one, one.view("a.test"), 80, "", True) is None

    def test_a_hash_without_a_key(self) -> None:
        one = one_rule.client("trafficPolicy: {loadBalancer: {consistentHash: {}}}")
        assert hash_keys(one, one.view("a.test"), 80, "", True) == ()


def test_policy_of_one_cluster() -> None:
    one = one_rule.client(
        "trafficPolicy: {tls: {mode: SIMPLE}}, subsets: [{name: s, trafficPolicy: {loadBalancer: {simple: RANDOM}}}]"
    )
    view, made = one.view("a.test"), one.clusters("a.test")
    assert policy_of(one, view, 80) is made["80"].policy
    assert policy_of(one, view, 81, "s") is made["81/s"].policy
    assert policy_of(one, view, 82) is None
    assert policy_of(one, view, 80, "unknown") is None


LABELS = st.dictionaries(st.sampled_from(["v", "app"]), st.sampled_from(["1", "2"]), max_size=2)
MEMBERS = st.lists(
    st.fixed_dictionaries(
        {"address": st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:db8::1"])},
        optional={
            "labels": LABELS,
            "weight": st.integers(0, 5),
            "locality": st.sampled_from(["r1/z1", "r1/z2", "r2"]),
            "serviceAccount": st.just("sa"),
        },
    ),
    max_size=5,
)
BLOCKS = st.fixed_dictionaries(
    {},
    optional={
        "loadBalancer": st.sampled_from(
            [{"simple": "RANDOM"}, {"simple": "PASSTHROUGH"}, {"consistentHash": {"httpHeaderName": "x"}}]
        ),
        "connectionPool": st.just({"tcp": {"maxConnections": 3}}),
        "outlierDetection": st.sampled_from([{}, {"consecutive5xxErrors": 1}]),
        "tls": st.sampled_from([{"mode": "DISABLE"}, {"mode": "SIMPLE"}, {"mode": "ISTIO_MUTUAL"}]),
    },
)
POLICIES = st.one_of(
    st.none(),
    st.builds(
        lambda blocks, port: {**blocks, "portLevelSettings": [{"port": {"number": 80}, **port}]} if port else blocks,
        BLOCKS,
        BLOCKS,
    ),
)


def _document(kind: str, spec: dict[str, Any]) -> str:
    return "---\n" + json.dumps({"kind": kind, "metadata": {"name": "x", "namespace": "prod"}, "spec": spec}) + "\n"


@st.composite
def _hosts(draw: st.DrawFn) -> str:
    resolution = draw(st.sampled_from(["STATIC", "DNS", "NONE"]))
    entry: dict[str, Any] = {
        "hosts": ["a.test"],
        "resolution": resolution,
        "location": draw(st.sampled_from(["MESH_EXTERNAL", "MESH_INTERNAL"])),
        "ports": [
            {"number": 80, "name": "web", "protocol": "HTTP"},
            {"number": 81, "name": "raw", "protocol": draw(st.sampled_from(["TCP", "UDP", "GRPC"]))},
        ],
    }
    members = draw(MEMBERS)
    if members and resolution != "NONE":
        entry["endpoints"] = members
    rule: dict[str, Any] = {"host": "a.test", "subsets": []}
    top = draw(POLICIES)
    if top is not None:
        rule["trafficPolicy"] = top
    for name in draw(st.lists(st.sampled_from(["one", "two"]), unique=True)):
        policy = draw(POLICIES)
        more = {} if policy is None else {"trafficPolicy": policy}
        rule["subsets"].append({"name": name, "labels": draw(LABELS), **more})
    return _document("ServiceEntry", entry) + _document("DestinationRule", rule)


@settings(max_examples=150)
@given(_hosts())
def test_what_always_holds(text: str) -> None:
    client = OneClient(text, node=HERE)
    made = clusters_of(client, client.view("a.test"))
    assert len({cluster.name for cluster in made}) == len(made)
    # Equal policies are one object.
    assert len({id(cluster.policy) for cluster in made}) == len({cluster.policy for cluster in made})
    for cluster in made:
        assert parse_cluster_name(cluster.name) == (cluster.port, cluster.subset, cluster.host)
        assert cluster.protocol != "UDP"
        if cluster.type in ("STRICT_DNS", "LOGICAL_DNS"):
            assert addresses(cluster)
        if cluster.type == "ORIGINAL_DST":
            assert cluster.groups == ()
            assert cluster.load_balancer.policy == "CLUSTER_PROVIDED"
        levels = {group.priority for group in cluster.groups}
        assert levels == set(range(len(levels)))
        wanted = (cluster.subset_labels or {}).items()
        for group in cluster.groups:
            assert group.weight == sum(endpoint.weight for endpoint in group.endpoints)
            assert all(wanted <= endpoint.labels.items() for endpoint in group.endpoints)


@settings(max_examples=75)
@given(_hosts())
def test_what_istio_accepts_means_the_same_in_the_extended_dialect(text: str) -> None:
    istio, extended = [OneClient(text, node=HERE, extended=dialect) for dialect in (False, True)]
    assert istio.clusters("a.test") == extended.clusters("a.test")
