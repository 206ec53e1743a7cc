"""Plain sockets that end as the DestinationRule says: idleTimeout, maxConnectionDuration."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from pathlib import Path

import pytest
from tests.clients.authority import Authority
from tests.clients.endpoints import heard
from tests.clients.meshes import entry

from roadstead import NotSpoken, Registry
from roadstead.clients.socket import create_connection, open_connection

IDLE, LONGEST = "idleTimeout: 0.3s", "maxConnectionDuration: 0.3s"


def registry(port: int, engine: str, setting: str, more: str = "") -> Registry:
    policy = f"{{connectionPool: {{tcp: {{maxConnections: 1, {setting}}}}}{more}}}"
    return Registry.from_text(entry(port, policy=policy, protocol="TCP"), backend=engine)


def active(mesh: Registry) -> int:
    cluster = mesh.cluster("outbound|80||api.test")
    assert cluster is not None
    return cluster.stats["upstream_cx_active"]


def echoed(made: socket.socket) -> bool:
    try:
        made.sendall(b"x")
        return made.recv(1) == b"x"
    except OSError:
        return False


@pytest.mark.parametrize("setting", [IDLE, LONGEST])
def test_a_socket_that_waits_sees_an_end(engine_name: str, setting: str) -> None:
    """The endpoint does as well, and the connection counts no more, though its owner has not closed it."""
    with heard() as server:
        mesh = registry(server.port, engine_name, setting)
        with create_connection(mesh, "api.test", 80) as made:
            assert echoed(made)
            assert active(mesh) == 1
            assert made.recv(1) == b""
            assert not echoed(made)
            create_connection(mesh, "api.test", 80).close()
        assert active(mesh) == 0


def test_what_moves_is_not_idle(engine_name: str) -> None:
    with heard() as server:
        mesh = registry(server.port, engine_name, "idleTimeout: 1s")
        with create_connection(mesh, "api.test", 80) as made:
            begun = time.monotonic()
            while time.monotonic() - begun < 1.5:
                assert echoed(made)


def test_what_moves_lasts_no_longer(engine_name: str) -> None:
    with heard() as server:
        mesh = registry(server.port, engine_name, LONGEST)
        with create_connection(mesh, "api.test", 80) as made:
            while echoed(made):
                pass


@pytest.mark.parametrize("setting", ["idleTimeout: 0s", "connectTimeout: 1s"])
async def test_without_limits_nothing_is_ended(engine_name: str, setting: str) -> None:
    """0: never, as for Envoy."""
    with heard() as server:
        mesh = registry(server.port, engine_name, setting)
        _, writer = await open_connection(mesh, "api.test", 80)
        writer.close()
        await writer.wait_closed()
        with create_connection(mesh, "api.test", 80) as made:
            made.settimeout(0.5)
            with pytest.raises(TimeoutError):
                made.recv(1)


@pytest.mark.parametrize("setting", [IDLE, LONGEST])
async def test_a_stream(engine_name: str, setting: str) -> None:
    with heard() as server:
        mesh = registry(server.port, engine_name, setting)
        reader, writer = await open_connection(mesh, "api.test", 80)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        assert active(mesh) == 1
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        assert active(mesh) == 0
        writer.close()


def test_under_tls_and_with_the_descriptor_taken(tmp_path: Path, engine_name: str) -> None:
    authority = Authority(tmp_path)
    context = authority.server(authority.sign("server", "db.example.com"))
    tls = f", tls: {{mode: SIMPLE, caCertificates: {authority.root}, sni: db.example.com}}"
    with heard(context=context) as server:
        mesh = registry(server.port, engine_name, IDLE, tls)
        with create_connection(mesh, "api.test", 80) as made:
            assert echoed(made)
            assert made.recv(1) == b""
    with heard() as server:
        mesh = registry(server.port, engine_name, IDLE)
        with socket.socket(fileno=create_connection(mesh, "api.test", 80).detach()) as taken:
            assert echoed(taken)
            assert taken.recv(1) == b""
            assert active(mesh) == 0


def test_a_number_that_is_somebody_elses_by_then(engine_name: str) -> None:
    with heard() as server:
        mesh = registry(server.port, engine_name, LONGEST)
        made = create_connection(mesh, "api.test", 80)
        number = made.fileno()
        other, end = socket.socketpair()
        made.close()
        os.dup2(other.fileno(), number)
        with other, end, socket.socket(fileno=number) as reused:
            reused.settimeout(0.6)
            with pytest.raises(TimeoutError):
                reused.recv(1)


def test_many_at_once(engine_name: str) -> None:
    """One thread ends them all."""
    with heard() as server:
        text = entry(server.port, policy=f"{{connectionPool: {{tcp: {{{IDLE}}}}}}}", protocol="TCP")
        mesh = Registry.from_text(text, backend=engine_name)
        made = [create_connection(mesh, "api.test", 80) for _ in range(20)]
        keepers = [one for one in threading.enumerate() if one.name == "roadstead-lifetime"]
        assert len(keepers) == 1
        assert [one.recv(1) for one in made] == [b""] * 20
        keepers[0].join(30)
        assert active(mesh) == 0
        for one in made:
            one.close()


def test_a_unix_socket_tells_nothing(tmp_path: Path, engine_name: str) -> None:
    mesh = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: api}}
spec:
  hosts: [api.test]
  ports: [{{number: 80, name: tcp, protocol: TCP}}]
  resolution: STATIC
  endpoints: [{{address: "unix://{tmp_path}/socket"}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: api}}
spec: {{host: api.test, trafficPolicy: {{connectionPool: {{tcp: {{{IDLE}}}}}}}}}
"""
    registry = Registry.from_text(mesh, backend=engine_name)
    with pytest.raises(NotSpoken, match="idleTimeout"):
        create_connection(registry, "api.test", 80)
    assert active(registry) == 0
