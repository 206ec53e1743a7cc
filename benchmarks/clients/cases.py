"""What does the mesh cost a request? Each library through the registry, beside the bare library, over loopback.

The server is a process of its own; the mesh has a rule with retries and a time limit, so that nothing is left out."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager

import aiohttp
import httpx
import requests

import roadstead.clients.aiohttp
import roadstead.clients.httpx
import roadstead.clients.requests
from benchmarks.case import Case
from roadstead import Registry

_REQUESTS = 200
_OWED = 1.10
_MESH = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: api}}
spec:
  hosts: [api.test]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: api}}
spec:
  hosts: [api.test]
  http:
  - route: [{{destination: {{host: api.test}}}}]
    timeout: 30s
    retries: {{attempts: 3, retryOn: 5xx}}
"""


@contextmanager
def cases() -> Iterator[list[Case]]:
    """For the length of a block, in which the server runs. `×` is the library's own time; 1.1 is what is owed."""
    with ExitStack() as stack:
        command = [sys.executable, "-m", "benchmarks.clients.server"]
        server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(server.kill)
        assert server.stdout is not None
        port = int(server.stdout.readline())
        registry = Registry.from_text(_MESH.format(port=port))
        bare, meshed = f"http://127.0.0.1:{port}/things", "http://api.test/things"
        loop = asyncio.new_event_loop()
        stack.callback(loop.close)
        found: list[Case] = []

        def add(name: str, own: Callable[[object], None], through: Callable[[object], None]) -> None:
            found.append(Case(name, own, _REQUESTS))
            found.append(Case(f"{name}, registry", through, _REQUESTS, owed=((name, _OWED),)))

        add(
            "httpx",
            _blocking(stack.enter_context(httpx.Client(trust_env=False)).get, bare),
            _blocking(
                stack.enter_context(
                    httpx.Client(transport=roadstead.clients.httpx.Transport(registry), trust_env=False)
                ).get,
                meshed,
            ),
        )
        session, mounted = stack.enter_context(requests.Session()), stack.enter_context(requests.Session())
        session.trust_env = mounted.trust_env = False
        mounted.mount("http://", roadstead.clients.requests.Adapter(registry))
        add("requests", _blocking(session.get, bare), _blocking(mounted.get, meshed))

        async def opened() -> tuple[aiohttp.ClientSession, aiohttp.ClientSession]:
            return aiohttp.ClientSession(), roadstead.clients.aiohttp.session(registry)

        own, through = loop.run_until_complete(opened())
        stack.callback(lambda: loop.run_until_complete(own.close()))
        stack.callback(lambda: loop.run_until_complete(through.close()))
        add("aiohttp", _awaited(loop, _read(own, bare)), _awaited(loop, _read(through, meshed)))
        yield found


def _blocking(get: Callable[[str], object], url: str) -> Callable[[object], None]:
    def run(_: object) -> None:
        for _number in range(_REQUESTS):
            get(url)

    return run


def _read(session: aiohttp.ClientSession, url: str) -> Callable[[], Coroutine[object, object, None]]:
    async def run() -> None:
        for _number in range(_REQUESTS):
            async with session.get(url) as answer:
                await answer.read()

    return run


def _awaited(
    loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[object, object, None]]
) -> Callable[[object], None]:
    return lambda _: loop.run_until_complete(work())
