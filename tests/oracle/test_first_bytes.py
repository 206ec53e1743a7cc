"""What connections to endpoints begin with: a real Envoy, given what we compile, and our proxy write the same bytes."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest
from tests.clients.endpoints import Heard, Talk, heard
from tests.oracle.envoy import Envoy
from tests.proxy.running import running
from tests.proxy.test_connections import tcp_entry

from roadstead import Registry
from roadstead.mesh import Node
from roadstead.xds.json import to_json
from roadstead.xds.resources import resources

CLUSTER = "outbound|5432||db.test"
NODE = Node()


class Connections(Envoy):
    """The filters of one cluster's connections, on a free port of loopback."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self._folder = folder
        self._write(registry, NODE)
        made = resources(registry.mesh, NODE)
        chains = [chain for one in map(to_json, made.listeners) for chain in one.get("filter_chains", ())]
        filters = next(one["filters"] for one in chains if CLUSTER in json.dumps(one))
        listener = {
            "name": "tcp",
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
            "filter_chains": [{"filters": filters}],
        }
        bootstrap = {
            "node": {"id": "oracle", "cluster": "oracle"},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
            "static_resources": {
                "listeners": [listener],
                "clusters": [self._cluster(to_json(one)) for one in made.clusters if to_json(one)["name"] == CLUSTER],
            },
        }
        self._config = folder / "envoy.json"
        self._config.write_text(json.dumps(bootstrap))


def leading(talk: Talk) -> None:
    """Whatever it is asked, it says yes; then it answers what the client says."""
    asked = b""
    while b"hello" not in talk.kept:
        asked = talk.more()
        if asked.startswith(b"CONNECT"):
            talk.say(b"HTTP/1.1 200 OK\r\n\r\n")
        elif asked.startswith(b"POST"):
            talk.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    talk.say(b"2\r\nOK\r\n" if talk.kept.startswith(b"POST") else b"OK")
    while talk.more():
        if talk.kept.endswith(b"\r\n0\r\n\r\n"):
            talk.say(b"0\r\n\r\n")
            return


def speak(port: int, server: Heard) -> tuple[bytes, tuple[int, int]]:
    """What an endpoint was sent by then that a client has said something and was answered; the client's port, and the
    one that it dialled."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as made:
        made.sendall(b"hello")
        assert made.recv(2) == b"OK"
        return bytes(server.connections[0]), (int(made.getsockname()[1]), port)


def without(sent: bytes, ports: tuple[int, int]) -> bytes:
    """The bytes, with names for the two ports."""
    for port, name in zip(ports, (b"OWN", b"TO"), strict=True):
        sent = sent.replace(str(port).encode(), name)
    if sent.startswith(b"\r\n\r\n\x00"):
        assert sent[24:28] == ports[0].to_bytes(2, "big") + ports[1].to_bytes(2, "big")
        sent = sent[:24] + b"PORT" + sent[28:]
    return sent


@pytest.mark.parametrize(
    "policy",
    [
        "proxyProtocol: {version: V1}",
        "proxyProtocol: {version: V2}",
        "tunnel: {targetHost: far.test, targetPort: 443}",
        'tunnel: {targetHost: "2001:db8::1", targetPort: 443}',
        "tunnel: {protocol: POST, targetHost: far.test, targetPort: 443}",
    ],
)
async def test_the_first_bytes(tmp_path: Path, policy: str) -> None:
    found = []
    for is_envoy in (True, False):
        with heard(leading) as server:
            registry = Registry.from_text(tcp_entry(server.port, policy=f"{{{policy}}}"))
            if is_envoy:
                with Connections(registry, tmp_path) as envoy:
                    found.append(without(*speak(envoy.port, server)))
            else:
                async with running(registry, listeners=[("tcp", "127.0.0.1:0=db.test:5432")]) as proxy:
                    found.append(without(*await asyncio.to_thread(speak, proxy.port, server)))
                    await proxy.log(1)
    assert found[0] == found[1]
    assert b"hello" in found[0]
