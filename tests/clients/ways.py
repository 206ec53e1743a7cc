"""Every client that sends HTTP requests, asked in one way, so that one table of cases serves them all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import aiohttp
import httpx
import httpx2
import requests
from requests import exceptions as requests_errors
from urllib3 import exceptions as urllib3_errors

import roadstead.clients.aiohttp
import roadstead.clients.httpx
import roadstead.clients.httpx2
import roadstead.clients.requests
import roadstead.clients.urllib3
from roadstead import Registry

Asked = tuple[str, str]


class Got(NamedTuple):
    """A response whose body is read. sent: whose it is (`clients.sent.Sent`)."""

    status_code: int
    content: bytes
    headers: Mapping[str, str]
    sent: Any


class Client:
    """One client. broken: what it raises where the body of a response breaks off; is_async: it does not block."""

    broken: type[Exception]
    is_async = False

    def __init__(self, registry: Registry, **options: Any) -> None:
        self.registry = registry
        self.options = options

    def all(self, asked: tuple[Asked, ...], **sent: Any) -> list[Got]:
        """One after another, over the same connections. content, headers: of each request."""
        raise NotImplementedError


class Httpx(Client):
    broken = httpx.RemoteProtocolError
    library: Any = httpx
    room: Any = roadstead.clients.httpx

    def all(self, asked: tuple[Asked, ...], **sent: Any) -> list[Got]:
        with self.library.Client(transport=self.room.Transport(self.registry, **self.options)) as client:
            return [self.got(client.request(method, url, **sent)) for method, url in asked]

    @staticmethod
    def got(answer: Any) -> Got:
        return Got(answer.status_code, answer.content, answer.headers, answer.extensions["roadstead"])


class AsyncHttpx(Httpx):
    is_async = True

    def all(self, asked: tuple[Asked, ...], **sent: Any) -> list[Got]:
        return asyncio.run(self._all(asked, sent))

    async def _all(self, asked: tuple[Asked, ...], sent: dict[str, Any]) -> list[Got]:
        async with self.library.AsyncClient(transport=self.room.Transport(self.registry, **self.options)) as client:
            return [self.got(await client.request(method, url, **sent)) for method, url in asked]


class Httpx2(Httpx):
    broken = httpx2.RemoteProtocolError
    library = httpx2
    room = roadstead.clients.httpx2


class AsyncHttpx2(AsyncHttpx):
    broken = httpx2.RemoteProtocolError
    library = httpx2
    room = roadstead.clients.httpx2


class Requests(Client):
    broken = requests_errors.ChunkedEncodingError

    def all(self, asked: tuple[Asked, ...], **sent: Any) -> list[Got]:
        content = sent.pop("content", None)
        with requests.Session() as session:
            session.mount("http://", roadstead.clients.requests.Adapter(self.registry, **self.options))
            answers = [session.request(*one, data=content, allow_redirects=False, **sent) for one in asked]
        return [Got(one.status_code, one.content, one.headers, one.roadstead) for one in answers]


class Urllib3(Client):
    broken = urllib3_errors.ProtocolError

    def all(self, asked: tuple[Asked, ...], **sent: Any) -> list[Got]:
        content = sent.pop("content", None)
        with ExitStack() as stack:
            manager = stack.enter_context(roadstead.clients.urllib3.PoolManager(self.registry, **self.options))
            answers = [manager.request(*one, body=content, redirect=False, **sent) for one in asked]
        return [Got(one.status, one.data, one.headers, one.roadstead) for one in answers]


class Aiohttp(Client):
    broken = aiohttp.ClientPayloadError
    is_async = True

    def all(self, asked: tuple[Asked, ...], **sent: Any) -> list[Got]:
        return asyncio.run(self._all(asked, sent.pop("content", None), sent))

    async def _all(self, asked: tuple[Asked, ...], content: bytes | None, sent: dict[str, Any]) -> list[Got]:
        got = []
        async with roadstead.clients.aiohttp.session(self.registry, **self.options) as session:
            for one in asked:
                async with session.request(*one, data=content, allow_redirects=False, **sent) as answer:
                    assert str(answer.url) == one[1]
                    got.append(Got(answer.status, await answer.read(), answer.headers, answer.roadstead))
        return got


CLIENTS: dict[str, type[Client]] = {
    "aiohttp": Aiohttp,
    "httpx": Httpx,
    "httpx async": AsyncHttpx,
    "httpx2": Httpx2,
    "httpx2 async": AsyncHttpx2,
    "requests": Requests,
    "urllib3": Urllib3,
}


class Way:
    """One client on one engine."""

    def __init__(self, name: str, engine: str) -> None:
        self.client = CLIENTS[name]
        self.engine = engine

    def ask(self, mesh: str, *asked: Asked, options: dict[str, Any] | None = None, **sent: Any) -> list[Got]:
        """Responses to (method, url), one after another, by one client."""
        registry = Registry.from_text(mesh, backend=self.engine, seed=1)
        return self.client(registry, **(options or {})).all(asked, **sent)

    def get(self, mesh: str, url: str, **sent: Any) -> Got:
        return self.ask(mesh, ("GET", url), **sent)[0]
