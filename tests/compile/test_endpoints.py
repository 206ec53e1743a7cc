"""The endpoints behind a host."""

from __future__ import annotations

import pytest
from tests.compile.one_client import OneClient, addresses

from roadstead.compile.endpoints import selectable_labels, selected
from roadstead.mesh import Endpoint

ENTRY = """
---
kind: ServiceEntry
metadata: {{name: se, namespace: prod}}
spec: {{hosts: [a.test], {spec}}}
"""
WORKLOAD = """
---
kind: WorkloadEntry
metadata: {{name: {name}, namespace: {namespace}, labels: {labels}}}
spec: {spec}
"""
PORTS = "ports: [{number: 80, name: web, protocol: HTTP, targetPort: 8080}, {number: 90, name: raw, protocol: TCP}]"


def endpoints(text: str, port: str = "80", **client: object) -> list[Endpoint]:
    cluster = OneClient(text, **client).clusters("a.test")[port]
    return [endpoint for group in cluster.groups for endpoint in group.endpoints]


def entry(spec: str) -> str:
    return ENTRY.format(spec=spec)


def workload(name: str, spec: str, labels: str = "{}", namespace: str = "prod") -> str:
    return WORKLOAD.format(name=name, spec=spec, labels=labels, namespace=namespace)


class TestTheHostItself:
    def test_is_the_endpoint_of_a_dns_service(self) -> None:
        text = entry(f"resolution: DNS, {PORTS}")
        (endpoint,) = endpoints(text)
        assert (endpoint.address, endpoint.port, endpoint.kind) == ("a.test", 8080, "hostname")
        assert (endpoint.labels, endpoint.locality, endpoint.weight, endpoint.tls_mode) == ({}, "", 1, "disabled")
        assert endpoints(text, "90")[0].port == 90

    def test_is_none_beside_a_selector(self) -> None:
        client = OneClient(entry(f"resolution: DNS, workloadSelector: {{labels: {{app: x}}}}, {PORTS}"))
        assert client.clusters("a.test") == {}

    @pytest.mark.parametrize("resolution", ["STATIC", "NONE"])
    def test_is_none_of_other_services(self, resolution: str) -> None:
        assert endpoints(entry(f"resolution: {resolution}, {PORTS}")) == []


class TestPorts:
    @pytest.mark.parametrize(
        ("endpoint", "port", "expected"),
        [
            ("{address: 10.0.0.1}", "80", 8080),
            ("{address: 10.0.0.1}", "90", 90),
            ("{address: 10.0.0.1, ports: {web: 9999}}", "80", 9999),
            ("{address: 10.0.0.1, ports: {web: 9999}}", "90", 90),
            ("{address: 10.0.0.1, ports: {web: 0}}", "80", 8080),
            # By the port's name, never by its number.
            ("{address: 10.0.0.1, ports: {'80': 9999}}", "80", 8080),
        ],
    )
    def test_precedence(self, endpoint: str, port: str, expected: int) -> None:
        assert endpoints(entry(f"resolution: STATIC, {PORTS}, endpoints: [{endpoint}]"), port)[0].port == expected

    def test_a_socket_has_none(self) -> None:
        (endpoint,) = endpoints(entry(f"resolution: STATIC, {PORTS}, endpoints: [{{address: 'unix:///var/x'}}]"))
        assert (endpoint.address, endpoint.port, endpoint.kind) == ("/var/x", 0, "unix")

    def test_static_goes_by_name_and_dns_by_number(self) -> None:
        def two(resolution: str) -> list[str]:
            older = f"resolution: {resolution}, ports: [{{number: 80, name: web}}], endpoints: [{{address: 10.0.0.1}}]"
            newer = f"resolution: {resolution}, ports: [{{number: 80, name: www}}], endpoints: [{{address: 10.0.0.2}}]"
            return addresses(OneClient(entry(older) + entry(newer)).clusters("a.test")["80"])

        assert two("STATIC") == ["10.0.0.1:80"]
        assert two("DNS") == ["10.0.0.1:80", "10.0.0.2:80"]


class TestSeveral:
    def test_entries_of_one_host_are_put_together(self) -> None:
        one = entry(f"resolution: STATIC, {PORTS}, endpoints: [{{address: 10.0.0.1}}]")
        two = entry(f"resolution: STATIC, {PORTS}, endpoints: [{{address: 10.0.0.2}}, {{address: 10.0.0.1}}]")
        assert [endpoint.address for endpoint in endpoints(one + two)] == ["10.0.0.1", "10.0.0.2", "10.0.0.1"]

    def test_each_address_of_an_entry_brings_its_endpoints_again(self) -> None:
        text = entry(f"resolution: DNS, addresses: [10.1.0.1, 10.1.0.2], {PORTS}")
        assert len(endpoints(text)) == 2

    @pytest.mark.parametrize("first", ["", "addresses: [10.1.0.1, 10.1.0.2], "])
    def test_round_robin_dns_follows_one_name(self, first: str) -> None:
        one = entry(
            f"{first}resolution: DNS_ROUND_ROBIN, {PORTS}, endpoints: [{{address: x.test}}, {{address: y.test}}]"
        )
        two = entry(f"resolution: DNS_ROUND_ROBIN, {PORTS}, endpoints: [{{address: z.test}}]")
        assert [endpoint.address for endpoint in endpoints(one + two)] == ["x.test"]


class TestNames:
    TEXT = entry(f"resolution: STATIC, {PORTS}, endpoints: [{{address: x.test}}, {{address: 10.0.0.1}}]")

    def test_are_dropped_from_static_services(self) -> None:
        client = OneClient(self.TEXT)
        assert addresses(client.clusters("a.test")["80"]) == ["10.0.0.1:8080"]
        assert client.clusters("a.test")["80"].type == "EDS"

    def test_are_looked_up_in_the_extended_dialect(self) -> None:
        cluster = OneClient(self.TEXT, extended=True).clusters("a.test")["80"]
        assert addresses(cluster) == ["x.test:8080", "10.0.0.1:8080"]
        assert (cluster.type, cluster.dns_lookup_family) == ("STRICT_DNS", "V4_ONLY")
        assert [endpoint.kind for group in cluster.groups for endpoint in group.endpoints] == ["hostname", "ip"]


class TestIdentity:
    @pytest.mark.parametrize(
        ("endpoint", "mode", "account"),
        [
            ("{address: 10.0.0.1}", "disabled", ""),
            ("{address: 10.0.0.1, serviceAccount: sa}", "istio", "spiffe://cluster.local/ns/prod/sa/sa"),
            (
                "{address: 10.0.0.1, serviceAccount: sa, labels: {security.istio.io/tlsMode: disabled}}",
                "disabled",
                "spiffe://cluster.local/ns/prod/sa/sa",
            ),
            ("{address: 10.0.0.1, labels: {security.istio.io/tlsMode: istio}}", "istio", ""),
        ],
    )
    def test_tls_mode_and_account(self, endpoint: str, mode: str, account: str) -> None:
        (made,) = endpoints(entry(f"resolution: STATIC, {PORTS}, endpoints: [{endpoint}]"))
        assert (made.tls_mode, made.service_account) == (mode, account)

    def test_trust_domain(self) -> None:
        text = entry(f"resolution: STATIC, {PORTS}, endpoints: [{{address: 10.0.0.1, serviceAccount: sa}}]")
        (made,) = endpoints(text, mesh="{trustDomain: td}")
        assert made.service_account == "spiffe://td/ns/prod/sa/sa"

    def test_names_and_weights(self) -> None:
        text = entry(
            f"resolution: STATIC, {PORTS}, endpoints: [{{address: 10.0.0.1}}, {{address: 10.0.0.2, weight: 7}}]"
        )
        assert [(made.workload_name, made.weight) for made in endpoints(text)] == [("se-0", 1), ("se-1", 7)]


class TestLocality:
    @pytest.mark.parametrize(
        ("endpoint", "istio", "extended"),
        [
            ("locality: us/a/1", "us/a/1", "us/a/1"),
            ("locality: us.a", "us.a", "us.a"),
            ("labels: {istio-locality: us.a.1}", "us/a/1", "us/a/1"),
            ("labels: {istio-locality: us/a}", "us/a", "us/a"),
            ("labels: {topology.istio.io/locality: eu, istio-locality: us}", "eu", "eu"),
            ("labels: {topology.kubernetes.io/region: us}", "", ""),
            ("labels: {region: us, zone: us-a}", "", "us/us-a"),
            ("labels: {region: us}", "", "us"),
            ("locality: eu, labels: {region: us}", "eu", "eu"),
        ],
    )
    def test_text(self, endpoint: str, istio: str, extended: str) -> None:
        text = entry(f"resolution: STATIC, {PORTS}, endpoints: [{{address: 10.0.0.1, {endpoint}}}]")
        assert endpoints(text)[0].locality == istio
        assert endpoints(text, extended=True)[0].locality == extended

    def test_labels_carry_the_topology(self) -> None:
        text = entry(
            f"resolution: STATIC, {PORTS}, endpoints: [{{address: 10.0.0.1, locality: us/a, network: n1, "
            "labels: {v: '1', topology.kubernetes.io/region: other}}]"
        )
        assert endpoints(text)[0].labels == {
            "v": "1",
            "topology.kubernetes.io/region": "us",
            "topology.kubernetes.io/zone": "a",
            "topology.istio.io/cluster": "Kubernetes",
            "topology.istio.io/network": "n1",
        }

    def test_equal_labels_are_one_object(self) -> None:
        text = entry(
            f"resolution: STATIC, {PORTS}, endpoints: [{{address: 10.0.0.1, labels: {{v: q}}}}, "
            "{address: 10.0.0.2, labels: {v: q}}]"
        )
        one, two = endpoints(text)
        assert one.labels is two.labels

    @pytest.mark.parametrize(("word", "tier"), [("high", 0), ("medium", 1), ("low", 2)])
    def test_priority_label(self, word: str, tier: int) -> None:
        text = entry(f"resolution: STATIC, {PORTS}, endpoints: [{{address: 10.0.0.1, labels: {{priority: {word}}}}}]")
        assert endpoints(text)[0].priority_tier == 0
        assert endpoints(text, extended=True)[0].priority_tier == tier


class TestWorkloads:
    SELECTS = entry(f"resolution: STATIC, {PORTS}, workloadSelector: {{labels: {{app: x}}}}")

    def test_are_selected_in_their_namespace(self) -> None:
        text = (
            self.SELECTS
            + workload("one", "{address: 10.0.0.1, labels: {app: x}, ports: {web: 1}}")
            + workload("two", "{address: 10.0.0.2}", labels="{app: x}")
            + workload("not", "{address: 10.0.0.3, labels: {app: x}}", labels="{app: y}")
            + workload("far", "{address: 10.0.0.4, labels: {app: x}}", namespace="other")
        )
        made = endpoints(text)
        assert [(one.address, one.port, one.workload_name) for one in made] == [
            ("10.0.0.1", 1, "one"),
            ("10.0.0.2", 8080, "two"),
        ]

    def test_labels_of_the_metadata_win(self) -> None:
        text = self.SELECTS + workload("one", "{address: 10.0.0.1, labels: {app: x, v: spec}}", labels="{v: meta}")
        assert endpoints(text)[0].labels["v"] == "meta"

    def test_names_and_sockets_are_for_dns_only(self) -> None:
        workloads = workload("name", "{address: x.test, labels: {app: x}}") + workload(
            "socket", "{address: 'unix:///s', labels: {app: x}}"
        )
        for extended in (False, True):
            assert endpoints(self.SELECTS + workloads, extended=extended) == []
        by_dns = self.SELECTS.replace("STATIC", "DNS") + workloads
        assert [one.address for one in endpoints(by_dns)] == ["x.test", "/s"]

    def test_stand_beside_inline_endpoints(self) -> None:
        text = entry(
            f"resolution: DNS, {PORTS}, endpoints: [{{address: 10.0.0.1}}], workloadSelector: {{labels: {{app: x}}}}"
        ) + workload("one", "{address: 10.0.0.2, labels: {app: x}}")
        assert [one.address for one in endpoints(text, extended=True)] == ["10.0.0.1", "10.0.0.2"]

    def test_plain_labels_mean_nothing_on_them(self) -> None:
        text = self.SELECTS + workload("one", "{address: 10.0.0.1, labels: {app: x, region: us, priority: low}}")
        (made,) = endpoints(text, extended=True)
        assert (made.locality, made.priority_tier) == ("", 0)

    def test_have_the_name_of_their_group_or_label(self) -> None:
        text = (
            self.SELECTS
            + workload("one", "{address: 10.0.0.1, labels: {app: x}}").replace(
                "labels: {}", "annotations: {istio.io/autoRegistrationGroup: group}"
            )
            + workload("two", "{address: 10.0.0.2, labels: {app: x, service.istio.io/workload-name: named}}")
        )
        assert [one.workload_name for one in endpoints(text)] == ["group", "named"]

    def test_selectors_see_the_topology(self) -> None:
        client = OneClient(workload("one", "{address: 10.0.0.1, locality: us/a}"))
        assert selectable_labels(client.resources[0])["topology.kubernetes.io/zone"] == "a"


class TestDraining:
    TEXT = entry(
        f"resolution: STATIC, {PORTS}, endpoints: [{{address: 10.0.0.1, labels: {{istio.io/draining: 'yes'}}}}, "
        "{address: 10.0.0.2}]"
    )

    def test_endpoints_are_left_out(self) -> None:
        assert [one.address for one in endpoints(self.TEXT)] == ["10.0.0.2"]

    def test_endpoints_are_kept_for_persistent_sessions(self) -> None:
        text = self.TEXT.replace("namespace: prod", "namespace: prod, labels: {istio.io/persistent-session: c}")
        assert [(one.address, one.health) for one in endpoints(text)] == [("10.0.0.1", "DRAINING"), ("10.0.0.2", "")]


MEMBERS = (
    Endpoint("10.0.0.1", 80, labels={"v": "1", "t": "a"}),
    Endpoint("10.0.0.2", 80, labels={"v": "1"}),
    Endpoint("10.0.0.3", 80),
)


@pytest.mark.parametrize(
    ("labels", "chosen"),
    [({}, [0, 1, 2]), ({"v": "1"}, [0, 1]), ({"v": "1", "t": "a"}, [0]), ({"v": "2"}, []), ({"v": "1", "t": "b"}, [])],
)
def test_members_of_a_subset(labels: dict[str, str], chosen: list[int]) -> None:
    assert selected(MEMBERS, labels) == tuple([MEMBERS[index] for index in chosen])


def test_a_subset_of_everybody_is_the_same_object() -> None:
    assert selected(MEMBERS, {}) is MEMBERS
    assert selected(MEMBERS[:2], {"v": "1"}) is not MEMBERS
    both = MEMBERS[:2]
    assert selected(both, {"v": "1"}) is both
