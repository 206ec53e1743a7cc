"""Which policy is in force for a cluster, and what it says in Envoy's terms."""

from __future__ import annotations

import pytest
from tests.compile.one_rule import client, cluster

from roadstead.mesh import Cluster, Keepalive
from roadstead.mesh.cluster import UNLIMITED


class TestWithoutARule:
    def test_defaults(self) -> None:
        made = cluster()
        assert made.policy.origins == ()
        pool = made.connection_pool
        assert (pool.tcp.max_connections, pool.tcp.connect_timeout, pool.tcp.keepalive) == (UNLIMITED, 10.0, None)
        assert (pool.http.max_requests, pool.http.max_pending_requests, pool.http.max_retries) == (UNLIMITED,) * 3
        assert (made.load_balancer.policy, made.load_balancer.panic_threshold) == ("LEAST_REQUEST", 0)
        assert made.outlier_detection is None
        assert made.health_checks == ()

    def test_the_mesh_fills_in(self) -> None:
        made = cluster(mesh="{connectTimeout: 3s, tcpKeepalive: {time: 20s, interval: 5s}, h2UpgradePolicy: UPGRADE}")
        assert made.connection_pool.tcp.connect_timeout == 3.0
        assert made.connection_pool.tcp.keepalive == Keepalive(None, 20.0, 5.0)
        assert made.connection_pool.http.protocol == "http2"

    def test_default_traffic_policy(self) -> None:
        mesh = "{defaultTrafficPolicy: {connectionPool: {tcp: {maxConnections: 5}}, outlierDetection: {interval: 7s}}}"
        made = cluster(mesh=mesh)
        assert made.connection_pool.tcp.max_connections == 5
        assert made.outlier_detection is not None
        assert made.outlier_detection.interval == 7.0
        # By whole blocks: a rule's pool has no other default than Envoy's.
        made = cluster("trafficPolicy: {connectionPool: {tcp: {connectTimeout: 1s}}}", mesh=mesh)
        assert made.connection_pool.tcp.max_connections == UNLIMITED
        assert made.outlier_detection is not None

    def test_equal_policies_are_one_object(self) -> None:
        one = client()
        first, second = one.clusters("a.test").values()
        assert first.policy is second.policy
        assert one.clusters("a.test")["80"].policy is first.policy


POOL = "connectionPool: {tcp: {maxConnections: 9}}"
OUTLIER = "outlierDetection: {interval: 9s}"
RANDOM = "loadBalancer: {simple: RANDOM}"
SIMPLE = "tls: {mode: SIMPLE}"
TOP = f"{POOL}, {OUTLIER}, {RANDOM}, {SIMPLE}"


def facts(made: Cluster) -> dict[str, bool]:
    """Which of the blocks in TOP hold for a cluster."""
    return {
        "pool": made.connection_pool.tcp.max_connections == 9,
        "outlier": made.outlier_detection is not None,
        "random": made.load_balancer.policy == "RANDOM",
        "tls": made.tls is not None,
    }


def holds(made: Cluster) -> str:
    return " ".join(name for name, held in facts(made).items() if held)


class TestInheritance:
    @pytest.mark.parametrize(
        ("rule", "at", "expected"),
        [
            (f"trafficPolicy: {{{TOP}}}", "80", "pool outlier random tls"),
            # Settings for a port stand instead of everything.
            (f"trafficPolicy: {{{TOP}, portLevelSettings: [{{port: {{number: 80}}, {SIMPLE}}}]}}", "80", "tls"),
            (
                f"trafficPolicy: {{{TOP}, portLevelSettings: [{{port: {{number: 80}}, {SIMPLE}}}]}}",
                "81",
                "pool outlier random tls",
            ),
            (f"trafficPolicy: {{{TOP}, portLevelSettings: [{{port: {{number: 80}}}}]}}", "80", ""),
            # The first of two settings for one port.
            (
                (
                    f"trafficPolicy: {{portLevelSettings: [{{port: {{number: 80}}, {SIMPLE}}}, "
                    f"{{port: {{number: 80}}, {RANDOM}}}]}}"
                ),
                "80",
                "tls",
            ),
            # A subset without a policy has the rule's.
            (f"trafficPolicy: {{{TOP}}}, subsets: [{{name: s}}]", "80/s", "pool outlier random tls"),
            (
                f"trafficPolicy: {{{TOP}}}, subsets: [{{name: s, trafficPolicy: {{}}}}]",
                "80/s",
                "pool outlier random tls",
            ),
            (f"subsets: [{{name: s, trafficPolicy: {{{OUTLIER}}}}}]", "80/s", "outlier"),
            (f"subsets: [{{name: s, trafficPolicy: {{{OUTLIER}}}}}]", "80", ""),
            (
                f"trafficPolicy: {{{POOL}, {RANDOM}}}, subsets: [{{name: s, trafficPolicy: {{{OUTLIER}}}}}]",
                "80/s",
                "pool outlier random",
            ),
            # Over the rule's settings for the port just as well.
            (
                (
                    f"trafficPolicy: {{{TOP}, portLevelSettings: [{{port: {{number: 80}}, {SIMPLE}}}]}}, "
                    f"subsets: [{{name: s, trafficPolicy: {{{OUTLIER}}}}}]"
                ),
                "80/s",
                "outlier tls",
            ),
            # A subset's settings for the port clear what they leave out.
            (
                (
                    f"trafficPolicy: {{{TOP}}}, subsets: [{{name: s, trafficPolicy: {{{RANDOM}, "
                    f"portLevelSettings: [{{port: {{number: 80}}, {OUTLIER}}}]}}}}]"
                ),
                "80/s",
                "outlier",
            ),
            (
                (
                    f"trafficPolicy: {{{TOP}}}, subsets: [{{name: s, trafficPolicy: {{{RANDOM}, "
                    f"portLevelSettings: [{{port: {{number: 80}}, {OUTLIER}}}]}}}}]"
                ),
                "81/s",
                "pool outlier random tls",
            ),
        ],
    )
    def test_blocks_in_force(self, rule: str, at: str, expected: str) -> None:
        assert holds(cluster(rule, at=at)) == expected

    def test_blocks_are_replaced_whole(self) -> None:
        made = cluster(
            "trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}}, "
            "subsets: [{name: s, trafficPolicy: {connectionPool: {tcp: {connectTimeout: 1s}}}}]",
            at="80/s",
        )
        assert made.connection_pool.tcp.max_connections == UNLIMITED

    def test_what_has_no_settings_for_a_port_is_lost_with_them(self) -> None:
        rule = (
            "trafficPolicy: {proxyProtocol: {version: V2}, retryBudget: {}, "
            "portLevelSettings: [{port: {number: 80}, tls: {mode: DISABLE}}]}, "
            "subsets: [{name: s, trafficPolicy: {portLevelSettings: [{port: {number: 81}, tls: {mode: DISABLE}}]}}]"
        )
        made = client(rule).clusters("a.test")
        assert made["80"].connection_pool.tcp.proxy_protocol == ""
        assert made["80"].connection_pool.http.retry_budget is None
        # A subset's settings for the port leave them alone.
        for at in ("81", "81/s"):
            assert made[at].connection_pool.tcp.proxy_protocol == "V2"
            assert made[at].connection_pool.http.retry_budget == (20.0, 3)

    def test_places_that_contributed(self) -> None:
        rule = (
            f"trafficPolicy: {{{POOL}, portLevelSettings: [{{port: {{number: 9}}}}, {{port: {{number: 81}}}}]}}, "
            f"subsets: [{{name: r}}, {{name: s, trafficPolicy: {{{RANDOM}, "
            f"portLevelSettings: [{{port: {{number: 81}}}}]}}}}]"
        )
        made = client(rule).clusters("a.test")
        assert {at: [origin.path for origin in one.policy.origins] for at, one in made.items()} == {
            "80": ["/spec/trafficPolicy"],
            "80/r": ["/spec/trafficPolicy"],
            "80/s": ["/spec/subsets/1/trafficPolicy", "/spec/trafficPolicy"],
            "81": ["/spec/trafficPolicy/portLevelSettings/1"],
            "81/r": ["/spec/trafficPolicy/portLevelSettings/1"],
            "81/s": [
                "/spec/subsets/1/trafficPolicy/portLevelSettings/0",
                "/spec/trafficPolicy/portLevelSettings/1",
            ],
        }
        origin = made["80"].policy.origins[0]
        assert (origin.kind, origin.namespace, origin.name) == ("DestinationRule", "prod", "dr0")
        assert made["80/s"].subset_origin is not None
        assert made["80/s"].subset_origin.path == "/spec/subsets/1"

    def test_rules_that_were_merged(self) -> None:
        made = client("subsets: [{name: s}]", f"trafficPolicy: {{{POOL}}}, subsets: [{{name: t}}]").clusters("a.test")
        assert holds(made["80/s"]) == "pool"
        assert [origin.name for origin in made["80/s"].policy.origins] == ["dr1"]
        assert made["80/t"].subset_origin is not None
        assert made["80/t"].subset_origin.name == "dr1"

    def test_a_rule_for_many_hosts_makes_one_policy(self) -> None:
        one = client(f"trafficPolicy: {{{POOL}}}, subsets: [{{name: s}}]")
        made = one.clusters("a.test")
        assert made["80"].policy is made["80/s"].policy is one.clusters("a.test")["81"].policy
