"""The balancer of a cluster."""

from __future__ import annotations

import pytest
from tests.compile.one_rule import cluster

from roadstead.mesh import HashKey, LoadBalancer, Warmup


def balancer(settings: str) -> LoadBalancer:
    return cluster(f"trafficPolicy: {{loadBalancer: {settings}}}").load_balancer


class TestLoadBalancer:
    @pytest.mark.parametrize(
        ("settings", "policy"),
        [
            ("{}", "LEAST_REQUEST"),
            ("{simple: UNSPECIFIED}", "LEAST_REQUEST"),
            ("{simple: LEAST_CONN}", "LEAST_REQUEST"),
            ("{simple: LEAST_REQUEST}", "LEAST_REQUEST"),
            ("{simple: RANDOM}", "RANDOM"),
            ("{simple: ROUND_ROBIN}", "ROUND_ROBIN"),
            ("{simple: PASSTHROUGH}", "CLUSTER_PROVIDED"),
            ("{consistentHash: {httpHeaderName: x}}", "RING_HASH"),
            ("{consistentHash: {httpHeaderName: x, maglev: {}}}", "MAGLEV"),
        ],
    )
    def test_algorithm(self, settings: str, policy: str) -> None:
        assert balancer(settings).policy == policy

    @pytest.mark.parametrize(
        ("settings", "ring", "table"),
        [
            ("{httpHeaderName: x}", 1024, None),
            ("{httpHeaderName: x, minimumRingSize: 7}", 7, None),
            ("{httpHeaderName: x, ringHash: {}}", None, None),
            ("{httpHeaderName: x, ringHash: {minimumRingSize: 9}}", 9, None),
            ("{httpHeaderName: x, maglev: {}}", None, None),
            ("{httpHeaderName: x, maglev: {tableSize: 101}}", None, 101),
        ],
    )
    def test_table_sizes(self, settings: str, ring: int | None, table: int | None) -> None:
        made = balancer(f"{{consistentHash: {settings}}}")
        assert (made.ring_min, made.table_size) == (ring, table)

    @pytest.mark.parametrize(
        ("settings", "key"),
        [
            ("{httpHeaderName: x-user}", HashKey("header", "x-user")),
            ("{httpQueryParameterName: q}", HashKey("query", "q")),
            ("{useSourceIp: true}", HashKey("source_ip")),
            ("{useSourceIp: false}", None),
            ("{}", None),
            ("{httpCookie: {name: c}}", HashKey("cookie", "c")),
            ("{httpCookie: {name: c, ttl: 0s, path: /p}}", HashKey("cookie", "c", 0.0, "/p")),
            (
                "{httpCookie: {name: c, ttl: 30s, attributes: [{name: SameSite, value: Strict}, {name: Secure}]}}",
                HashKey("cookie", "c", 30.0, "", (("SameSite", "Strict"), ("Secure", ""))),
            ),
        ],
    )
    def test_key(self, settings: str, key: HashKey | None) -> None:
        assert balancer(f"{{consistentHash: {settings}}}").hash_key == key

    @pytest.mark.parametrize(
        ("settings", "warmup"),
        [
            ("{simple: ROUND_ROBIN, warmup: {duration: 60s}}", Warmup(60.0, 10.0, 1.0)),
            ("{warmup: {duration: 60s, minimumPercent: 25, aggression: 2.5}}", Warmup(60.0, 25.0, 2.5)),
            ("{warmupDurationSecs: 45s}", Warmup(45.0, None, None)),
            ("{simple: RANDOM, warmup: {duration: 60s}}", None),
            ("{simple: ROUND_ROBIN, warmup: {}}", None),
        ],
    )
    def test_warmup(self, settings: str, warmup: Warmup | None) -> None:
        assert balancer(settings).warmup == warmup

    def test_weights_of_localities_count_where_a_rule_orders_them(self) -> None:
        outlier = "outlierDetection: {}"
        distribute = "localityLbSetting: {distribute: [{from: '*', to: {'*': 100}}]}"
        failover = "localityLbSetting: {failover: [{from: a, to: b}]}"
        cases = {
            f"loadBalancer: {{{distribute}}}": True,
            f"loadBalancer: {{{failover}}}": False,
            f"loadBalancer: {{{failover}}}, {outlier}": True,
            f"loadBalancer: {{localityLbSetting: {{failoverPriority: [x]}}}}, {outlier}": True,
            outlier: False,
            "loadBalancer: {localityLbSetting: {enabled: false, distribute: [{from: '*', to: {'*': 100}}]}}": False,
        }
        found = {rule: cluster(f"trafficPolicy: {{{rule}}}").load_balancer.locality_weighted for rule in cases}
        assert found == cases

    def test_zone_awareness(self) -> None:
        made = balancer("{zoneAwareLbSetting: {minClusterSize: 3}}")
        assert (made.zone_aware, made.zone_min_cluster_size) == (True, 3)
        assert not balancer("{zoneAwareLbSetting: {enabled: false, minClusterSize: 3}}").zone_aware
        assert cluster(mesh="{zoneAwareLbSetting: {}}").load_balancer.zone_aware
