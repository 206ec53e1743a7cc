"""Connections for requests: who gets which, and what becomes of one whose answer is not passed on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest
from tests.clients.meshes import URL, entry
from tests.clients.servers import Answer, Servers, servers
from tests.clients.ways import CLIENTS, Way

from roadstead import Registry
from roadstead.clients import direct
from roadstead.clients.httpx import Transport


@pytest.fixture
def made() -> Iterator[Servers]:
    with servers() as all_of_them:
        yield all_of_them


@pytest.mark.parametrize("client", CLIENTS)
def test_an_answer_that_is_tried_again_holds_no_connection(client: str, made: Servers, engine_name: str) -> None:
    """With one connection at most the next try gets it."""
    server = made.http()
    server.script.extend([Answer(503, b"x" * 100), Answer(503)])
    mesh = entry(
        server.port,
        http="timeout: 20s\n    retries: {attempts: 3, retryOn: 5xx}",
        policy="{connectionPool: {tcp: {maxConnections: 1}}}",
    )
    answer = Way(client, engine_name).get(mesh, URL)
    assert (answer.status_code, answer.content) == (200, b"ok")
    assert (len(server.requests), server.most_open) == (3, 1)


def test_requests_at_once_have_connections_of_their_own(made: Servers) -> None:
    server = made.http()
    server.default = Answer(after=0.05)
    with httpx.Client(transport=Transport(Registry.from_text(entry(server.port)))) as client:
        threads = [threading.Thread(target=client.get, args=(URL,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(server.requests), server.most_open) == (4, server.connections)
        opened = server.connections
        client.get(URL)
        assert server.connections == opened


def test_a_connection_that_the_server_closed_is_not_used(made: Servers) -> None:
    server = made.http()
    with httpx.Client(transport=Transport(Registry.from_text(entry(server.port)))) as client:
        client.get(URL)
        server.stop()
        server.again()
        assert client.get(URL).status_code == 200
    assert server.connections == 2


def test_connections_to_endpoints_that_vanished_are_closed(made: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """They go when requests are sent elsewhere."""
    monkeypatch.setattr(direct, "_SWEEP", 0.0)
    first, second = made.http(), made.http()
    policy = "{connectionPool: {http: {idleTimeout: 0.001s}}}"
    registry = Registry.from_text(entry(first.port, policy=policy))
    with httpx.Client(transport=Transport(registry)) as client:
        client.get(URL)
        registry.apply(put=entry(second.port, policy=policy))
        for _ in range(5):
            assert client.get(URL).status_code == 200
        assert (first.connections, first.open) == (1, 0)


def test_an_answer_that_nobody_reads_does_not_hold_its_connection(made: Servers) -> None:
    server = made.http()
    with httpx.Client(transport=Transport(Registry.from_text(entry(server.port)))) as client:
        with client.stream("GET", URL):
            pass
        assert client.get(URL).status_code == 200
    assert server.connections == 2
