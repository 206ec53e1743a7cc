"""Health checks of endpoints that speak TLS or the PROXY protocol, on real sockets."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from tests.clients.authority import Authority
from tests.clients.endpoints import Talk, heard

from roadstead import Registry
from roadstead.clients.checks import opener
from roadstead.health import Result
from roadstead.health.probes import probe
from roadstead.health.target import targets_of
from roadstead.mesh import Cluster
from roadstead.protocol import Protocol

MESH = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: a}}
spec:
  hosts: [a.test]
  ports: [{{number: 80, name: p, protocol: {protocol}}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{p: {port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: a}}
spec: {{host: a.test, trafficPolicy: {{healthCheck: {{interval: 1s, timeout: 10s{check}}}{policy}}}}}
"""
HTTP, GRPC = ", path: /health", ", grpc: {}"


def answer(talk: Talk) -> None:
    talk.until(b"\r\n\r\n")
    talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    talk.more()


async def checked(
    port: int, check: str, policy: str = "", protocol: str = "HTTP", verify: ssl.SSLContext | None = None
) -> Result:
    registry = Registry.from_text(MESH.format(port=port, check=check, policy=policy, protocol=protocol))
    cluster = registry.cluster("outbound|80||a.test")
    assert cluster is not None
    spec = cluster.spec
    assert isinstance(spec, Cluster)
    ((endpoint,),) = [group.endpoints for group in spec.groups]
    secure = spec.name if spec.tls is not None or Protocol(spec.protocol).is_tls else ""
    proxied = spec.connection_pool.tcp.proxy_protocol
    (target,) = targets_of(endpoint, spec.health_checks, spec.host, secure, proxied)
    return await probe(target, opener(registry, verify=verify))


@pytest.mark.parametrize("version", ["V1", "V2"])
async def test_the_proxy_protocol_comes_first(version: str) -> None:
    with heard(answer) as server:
        assert await checked(server.port, HTTP, f", proxyProtocol: {{version: {version}}}") == "passed"
        first = bytes(server.connections[0])
    request = b"GET /health HTTP/1.1\r\n"
    port = server.peers[0][1]
    own = f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {server.port}\r\n".encode()
    local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
    assert first.startswith((own if version == "V1" else local) + request)


async def test_it_comes_before_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = authority.server(authority.sign("server", "a.test"))
    policy = f", proxyProtocol: {{version: V1}}, tls: {{mode: SIMPLE, caCertificates: {authority.root}, sni: a.test}}"
    with heard(answer, context, before=b"\r\n") as server:
        assert await checked(server.port, HTTP, policy) == "passed"


async def test_a_wrong_certificate_is_the_networks_failure(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    context = authority.server(authority.sign("server", "a.test"))
    with heard(answer, context) as server:
        policy = f", tls: {{mode: SIMPLE, caCertificates: {other.root}, sni: a.test}}"
        assert await checked(server.port, HTTP, policy) == "network"


async def test_a_service_that_speaks_tls_itself(tmp_path: Path) -> None:
    """A request is put into TLS; a connection is enough for a check of connections, as for Envoy."""
    authority = Authority(tmp_path)
    context = authority.server(authority.sign("server", "a.test"))
    verify = ssl.create_default_context(cafile=str(authority.root))
    with heard(answer, context) as server:
        assert await checked(server.port, HTTP, protocol="HTTPS", verify=verify) == "passed"
        assert await checked(server.port, HTTP, protocol="HTTPS") == "network"
        assert await checked(server.port, "", protocol="HTTPS") == "passed"


async def test_calls_offer_http_2(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = authority.server(authority.sign("server", "a.test"))
    context.set_alpn_protocols(["h2"])
    offered: list[str | None] = []

    def look(talk: Talk) -> None:
        assert isinstance(talk.made, ssl.SSLSocket)
        offered.append(talk.made.selected_alpn_protocol())
        talk.until(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    policy = f", tls: {{mode: SIMPLE, caCertificates: {authority.root}, sni: a.test}}"
    with heard(look, context) as server:
        assert await checked(server.port, GRPC, policy, protocol="GRPC") == "network"
    assert offered == ["h2"]
