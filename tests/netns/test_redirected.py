"""Connections that the firewall redirects to the proxy: the address that was dialled decides (SO_ORIGINAL_DST)."""

from __future__ import annotations

import asyncio

import pytest
from tests.clients.endpoints import heard
from tests.netns.conftest import Rule  # noqa: TC002 - a room of its own, not a third party
from tests.proxy.running import CLOSED, Client, running, until
from tests.proxy.test_connections import echoing, tcp_entry

# Nobody has them: they are for documentation (RFC 5737, RFC 3849).
DATABASE, NOBODY, DATABASE_6 = "198.51.100.7", "198.51.100.8", "2001:db8::7"


async def dialled(address: str, port: int) -> Client:
    async with asyncio.timeout(30):
        return Client(*await asyncio.open_connection(address, port))


def redirect(rule: Rule, listening: int, command: str = "iptables") -> None:
    words = ("OUTPUT", "-p", "tcp", "--dport", "5432", "-j", "REDIRECT", "--to-ports", str(listening))
    rule(*words, command=command, table="nat")


@pytest.mark.parametrize(
    ("address", "command", "listening"),
    [(DATABASE, "iptables", "127.0.0.1"), (DATABASE_6, "ip6tables", "[::1]")],
)
async def test_a_service_by_its_address(
    rule: Rule, engine_name: str, address: str, command: str, listening: str
) -> None:
    async with echoing() as (_, port):
        mesh = tcp_entry(port, addresses=f'addresses: ["{address}"]')
        async with running(mesh, engine_name, listeners=[("tcp", f"{listening}:0")], config=CLOSED) as proxy:
            redirect(rule, proxy.port, command)
            client = await dialled(address, 5432)
            await client.send("hi")
            assert await client.reader.readexactly(2) == b"HI"
            client.close()
            [line] = await proxy.log(1)
            assert line["upstream_cluster"] == "outbound|5432||db.test"


async def test_nobodys_address(rule: Rule, engine_name: str) -> None:
    async with echoing() as (echo, port):
        mesh = tcp_entry(port, addresses=f"addresses: [{DATABASE}]")
        async with running(mesh, engine_name, listeners=[("tcp", "127.0.0.1:0")], config=CLOSED) as proxy:
            redirect(rule, proxy.port)
            client = await dialled(NOBODY, 5432)
            with pytest.raises(ConnectionError):
                await client.ended()
            [line] = await proxy.log(1)
            assert line["response_flags"] == "UH"
            assert not echo.seen


async def test_endpoints_are_told_what_was_dialled(rule: Rule, engine_name: str) -> None:
    """By the PROXY protocol: not where the firewall led it."""
    with heard() as server:
        mesh = tcp_entry(server.port, addresses=f"addresses: [{DATABASE}]", policy="{proxyProtocol: {version: V1}}")
        async with running(mesh, engine_name, listeners=[("tcp", "127.0.0.1:0")], config=CLOSED) as proxy:
            redirect(rule, proxy.port)
            client = await dialled(DATABASE, 5432)
            host, port = client.writer.get_extra_info("sockname")
            first = f"PROXY TCP4 {host} {DATABASE} {port} 5432\r\n".encode()
            await client.send("hi")
            await until(lambda: server.connections and len(server.connections[0]) == len(first) + 2)
            assert bytes(server.connections[0]) == first + b"hi"
            client.close()
            await proxy.log(1)
