"""Load a folder of Istio YAML and ask where requests go: run it as `python python/examples/quickstart.py`."""

from __future__ import annotations

from pathlib import Path

from roadstead import Node, Registry

registry = Registry.from_files(
    Path(__file__).parent / "guide",
    node=Node(namespace="default", locality="eu-west/eu-west-1"),
)
for finding in registry.diagnostics:
    print(finding)

decision = registry.route("httpbin.org", 80, "/get")
print(decision.kind, decision.cluster_name, decision.timeout, decision.retry)

# Rules on HTTPS ports hold for requests that this process makes itself.
decision = registry.route("cdn.example.com", path="/logo.png", headers={"x-user-region": "eu"}, scheme="https")
endpoint = decision.pick()
print(decision.cluster_name, endpoint.address, endpoint.port, "TLS by the caller:", decision.application_tls)

# A lease counts the request against the circuit breakers and feeds outlier detection.
with registry.connect("postgres.example.com", 5432).lease() as lease:
    print(lease.endpoint.address, lease.cluster.connection_pool.tcp.max_connections)

# A document changes: only the hosts it touches are compiled again, and readers never see half of it.
registry.apply(
    put="""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin-external}
spec:
  hosts: [httpbin.org]
  http:
  - timeout: 2s
    route: [{destination: {host: httpbin.org}}]
"""
)
print(registry.route("httpbin.org", 80, "/get").timeout)
