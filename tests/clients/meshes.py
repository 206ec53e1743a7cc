"""Meshes with one host, api.test."""

from __future__ import annotations


def entry(*ports: int, http: str = "", policy: str = "", extra: str = "", protocol: str = "HTTP") -> str:
    """The host api.test, port 80, with these endpoints; an http rule, a traffic policy."""
    endpoints = "\n".join(f"  - {{address: 127.0.0.1, ports: {{http: {port}}}}}" for port in ports)
    text = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: api}}
spec:
  hosts: [api.test]
  ports: [{{number: 80, name: http, protocol: {protocol}}}]
  resolution: STATIC
  endpoints:
{endpoints}
---
"""
    if http:
        text += f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: api}}
spec:
  hosts: [api.test]
  http:
  - route: [{{destination: {{host: api.test}}}}]
    {http}
---
"""
    if policy:
        text += f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: api}}
spec:
  host: api.test
  trafficPolicy: {policy}
---
"""
    return text + extra


URL = "http://api.test/v1/things?x=1"
