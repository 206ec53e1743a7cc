"""Short documents for tests."""

from __future__ import annotations


def entry(
    host: str, ports: str, more: str = "resolution: STATIC", *, name: str = "", created: str = "2024-01-01"
) -> str:
    """A ServiceEntry. ports: "80/http/HTTP 9000/tcp/TCP", a missing protocol is sniffed."""
    written = []
    for port in ports.split():
        number, word, protocol = (*port.split("/"), "")[:3]
        written.append(f"{{number: {number}, name: {word}" + (f", protocol: {protocol}}}" if protocol else "}"))
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name or host.replace("*", "any").replace(".", "-")}, creationTimestamp: "{created}T00:00:00Z"}}
spec:
  hosts: ["{host}"]
  ports: [{", ".join(written)}]
  {more}
---
"""


def document(kind: str, name: str, spec: str, namespace: str = "default") -> str:
    """Any other resource; spec: YAML in flow style."""
    spec = spec.strip().replace("\n", "\n  ")
    return f"""
apiVersion: networking.istio.io/v1
kind: {kind}
metadata: {{name: {name}, namespace: {namespace}}}
spec: {spec}
---
"""
