"""The cluster's API server: finding it, the credentials, and one GET after the other."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict, Unpack

import msgspec

from roadstead.errors import MissingExtra
from roadstead.sources.kubernetes.objects import Objects, Status, TooLarge, status_of

try:
    import aiohttp
    from kubernetes_asyncio.client import ApiClient, Configuration, CustomObjectsApi
    from kubernetes_asyncio.config import incluster_config, load_kube_config
except ImportError as error:
    raise MissingExtra("reading a Kubernetes cluster", "kubernetes", "kubernetes_asyncio") from error

# Bytes of an answer that says what went wrong.
_ERROR = 64 * 1024
# Seconds: a connection on which nothing comes is asked whether it still lives, and given up after as many tries.
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


class NotConfigured(Exception):
    """There is no cluster to ask, or no way to say who asks."""


class Refused(Exception):
    """The server answered with an error. streamed: in the middle of a watch. retry_after: seconds it asks for."""

    def __init__(self, status: Status, retry_after: float = 0.0, *, streamed: bool = False) -> None:
        super().__init__(f"HTTP {status.code} {status.message or status.reason}".rstrip())
        self.code = status.code
        self.reason = status.reason
        self.retry_after = retry_after
        self.streamed = streamed

    @property
    def expired(self) -> bool:
        """Whether the version, or the page, that was asked for is not kept any more."""
        return self.code == 410 or self.reason in ("Expired", "Gone")


TROUBLE = (aiohttp.ClientError, OSError, NotConfigured, Refused, TooLarge, msgspec.MsgspecError, RecursionError)
"""All that can go wrong between here and a server; anything else is a defect."""


def why(trouble: Exception) -> str:
    """For people."""
    if isinstance(trouble, aiohttp.ServerTimeoutError):
        return "no answer in time"
    return str(trouble) or type(trouble).__name__


class Query(TypedDict, total=False):
    """Parameters of a list or watch, as the client calls them."""

    limit: int
    _continue: str
    watch: bool
    allow_watch_bookmarks: bool
    resource_version: str
    timeout_seconds: int


class _Client:
    """made: when (the loop's time). used: requests and answers that are under way."""

    __slots__ = ("api", "made", "used")

    def __init__(self, api: ApiClient, made: float) -> None:
        self.api = api
        self.made = made
        self.used = 0


class Api:
    """One client of a cluster, made when it is first needed, and again when it is refused (HTTP 401, TLS) or cannot
    connect: credentials, certificates and addresses change. timeout: seconds until it is connected. patience: seconds
    that credentials are tried before they are looked for again."""

    def __init__(self, kubeconfig: str | None, context: str | None, *, timeout: float, patience: float) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._timeout = timeout
        self._patience = patience
        self._current: _Client | None = None
        self._making = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._current is not None:
            await self._current.api.close()

    @asynccontextmanager
    async def get(
        self, objects: Objects, version: str, silence: float, **query: Unpack[Query]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """List or watch. silence: seconds without a byte that are endured."""
        client = await self._connected()
        client.used += 1
        try:
            answer = await self._ask(client.api, objects, version, silence, query)
            try:
                yield answer
            finally:
                # What is still to come is not for whoever uses the connection next.
                answer.close()
        except aiohttp.ClientConnectorError:
            self._give_up(client)
            raise
        except Refused as refused:
            if refused.code == 401:
                self._give_up(client)
            raise
        finally:
            client.used -= 1
            # Not under the hands of others.
            if client is not self._current and not client.used:
                await client.api.close()

    async def _ask(
        self, api: ApiClient, objects: Objects, version: str, silence: float, query: Query
    ) -> aiohttp.ClientResponse:
        custom = CustomObjectsApi(api)
        if objects.namespace:
            ask = partial(custom.list_namespaced_custom_object, namespace=objects.namespace)
        else:
            ask = partial(custom.list_cluster_custom_object)
        answer: aiohttp.ClientResponse = await ask(
            group=objects.kind.group,
            version=version,
            plural=objects.kind.plural,
            _preload_content=False,
            _request_timeout=(self._timeout, silence),
            **query,
        )
        if answer.status == 200:
            return answer
        raise await _refusal(answer)

    async def _connected(self) -> _Client:
        async with self._making:
            if self._current is None:
                configuration = await self._configuration()
                self._current = _Client(ApiClient(configuration), asyncio.get_running_loop().time())
            return self._current

    def _give_up(self, client: _Client) -> None:
        """This one is not believed any more; a new one comes with the next request."""
        if self._current is client and asyncio.get_running_loop().time() - client.made >= self._patience:
            self._current = None

    async def _configuration(self) -> Configuration:
        # Not a copy of the default one: what the program set for another cluster is none of ours.
        made = Configuration()
        # One connection a watch.
        made.connection_pool_maxsize = 0
        files = self._files()
        # A wrong file shows as any error, a plug-in that failed as well.
        try:
            if files is None:
                incluster_config.load_incluster_config(client_configuration=made)
            else:
                await load_kube_config(config_file=files, context=self._context, client_configuration=made)
        except Exception as error:
            raise NotConfigured(f"{files or 'in the cluster'}: {error}") from error
        return made

    def _files(self) -> str | None:
        """The kubeconfig: what was given, KUBECONFIG, or the user's; None: the account of the pod this runs in."""
        given = self._kubeconfig or os.environ.get("KUBECONFIG")
        if given:
            if not any(Path(path).expanduser().is_file() for path in given.split(os.pathsep)):
                raise NotConfigured(f"{given}: no such file")
            return given
        in_pod = os.environ.get(incluster_config.SERVICE_HOST_ENV_NAME)
        if in_pod and self._context is None and Path(incluster_config.SERVICE_TOKEN_FILENAME).exists():
            return None
        default = Path("~/.kube/config").expanduser()
        if not default.is_file():
            raise NotConfigured(f"no cluster: neither KUBECONFIG nor {default}, and this is no pod with an account")
        return str(default)


async def body(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """All of an answer; `TooLarge` where it has more bytes."""
    parts = bytearray()
    async for chunk in answer.content.iter_any():
        parts += chunk
        if len(parts) > most:
            raise TooLarge(f"an answer of more than {most} bytes")
    return bytes(parts)


def keep_alive(answer: aiohttp.ClientResponse) -> None:
    """Let the system find out when the other side of a quiet connection is gone."""
    transport = answer.connection.transport if answer.connection is not None else None
    if transport is None:
        return
    link = transport.get_extra_info("socket")
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        if hasattr(socket, option):
            link.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


async def _refusal(answer: aiohttp.ClientResponse) -> Refused:
    code, reason = answer.status, answer.reason or ""
    try:
        wait = float(answer.headers.get("Retry-After", "0"))
    except ValueError:
        wait = 0.0
    try:
        status = status_of(await body(answer, _ERROR))
    except (TooLarge, msgspec.MsgspecError, aiohttp.ClientError):
        status = Status()
    finally:
        answer.close()
    return Refused(Status(code, status.reason or reason, status.message), max(0.0, min(wait, 60.0)))
