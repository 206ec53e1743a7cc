"""Ring hash and Maglev: the same key goes to the same endpoint as in a real Envoy, before and after one leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.oracle.envoy import Envoy
from tests.oracle.upstreams import upstreams

from roadstead import Registry
from roadstead.mesh import Node

HOST, CLUSTER = "sticky.test", "outbound|80||sticky.test"
KEYS = [f"user-{number * 7919}" for number in range(1000)]
NODE = Node(namespace="default")
WEIGHTS = {"equal": (1, 1, 1, 1, 1), "weighted": (1, 2, 3, 1, 5)}
BALANCERS = {
    "ring": "ringHash: {minimumRingSize: 1024}",
    "small ring": "ringHash: {minimumRingSize: 10}",
    "maglev": "maglev: {tableSize: 65537}",
    "small maglev": "maglev: {tableSize: 251}",
}


def mesh(ports: list[int], weights: tuple[int, ...], balancer: str) -> str:
    endpoints = "\n".join(
        f"  - {{address: 127.0.0.1, ports: {{http: {port}}}, weight: {weight}}}"
        for port, weight in zip(ports, weights, strict=True)
    )
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: sticky, namespace: default}}
spec:
  hosts: [{HOST}]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints:
{endpoints}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: sticky, namespace: default}}
spec:
  host: {HOST}
  trafficPolicy:
    loadBalancer:
      consistentHash:
        httpHeaderName: x-user
        {balancer}
"""


@pytest.mark.parametrize("balancer", BALANCERS)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_key_goes_where_envoy_sends_it(engine_name: str, tmp_path: Path, balancer: str, weights: str) -> None:
    with upstreams(5) as ports:
        full, part = (mesh(ports[:count], WEIGHTS[weights][:count], BALANCERS[balancer]) for count in (5, 4))
        registry = Registry.from_text(full, node=NODE, dialect="istio", backend=engine_name)
        with Envoy(registry, NODE, 80, tmp_path) as envoy:
            before = _compare(registry, envoy)
            registry.apply(put=part)
            envoy.update(registry, NODE, CLUSTER, 4)
            after = _compare(registry, envoy)
    # On a ring of ten points, which the ports decide, one point's share may be too small for any of the keys.
    most_unasked = 1 if balancer == "small ring" else 0
    assert len(set(ports) - set(before)) <= most_unasked
    assert len(set(ports[:4]) - set(after)) <= most_unasked
    assert ports[4] not in after


def _compare(registry: Registry, envoy: Envoy) -> list[int]:
    """Ports that the keys go to, ours and Envoy's being equal."""
    ours = [registry.route(HOST, 80, headers={"x-user": key}).pick().port for key in KEYS]
    theirs = [envoy.get(HOST, headers={"x-user": key}) for key in KEYS]
    assert theirs == [(200, str(port)) for port in ours]
    return ours
