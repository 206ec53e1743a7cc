"""One external service under DestinationRules: what policies are tried on."""

from __future__ import annotations

from typing import Any

from tests.compile.one_client import OneClient

from roadstead.mesh import Cluster

SERVICE = """
kind: ServiceEntry
metadata: {name: se, namespace: prod}
spec:
  hosts: [a.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 81, name: tcp, protocol: TCP}
  endpoints: [{address: 10.0.0.1, labels: {v: '1'}}]
"""
RULE = """
---
kind: DestinationRule
metadata: {{name: {name}, namespace: prod}}
spec: {{host: a.test, {spec}}}
"""


def client(*rules: str, **settings: Any) -> OneClient:
    text = SERVICE + "".join([RULE.format(name=f"dr{index}", spec=spec) for index, spec in enumerate(rules)])
    return OneClient(text, **settings)


def cluster(*rules: str, at: str = "80", **settings: Any) -> Cluster:
    return client(*rules, **settings).clusters("a.test")[at]
