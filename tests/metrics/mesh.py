"""A mesh with two clusters, one with limits and outlier detection."""

MESH = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api}
spec:
  hosts: [api.test]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints:
  - {address: 127.0.0.1, ports: {http: 1}}
  - {address: 127.0.0.2, ports: {http: 1}, locality: us/east/a, weight: 3}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: api}
spec:
  host: api.test
  trafficPolicy:
    connectionPool: {http: {http1MaxPendingRequests: 5}}
    outlierDetection: {consecutive5xxErrors: 2}
"""
CLUSTER = "outbound|80||api.test"
