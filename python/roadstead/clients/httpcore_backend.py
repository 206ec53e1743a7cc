"""Connections of httpcore (what httpx stands on): counted by their cluster, and beginning with the PROXY protocol where
its rule asks for it."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from roadstead.clients.counted import Counted
from roadstead.proxy_protocol import opening

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    import httpcore

    from roadstead._core import Cluster
    from roadstead.mesh.cluster import ProxyProtocol

    Options = Iterable[httpcore.SOCKET_OPTION]


class Backend:
    """For a pool as its `network_backend`. core: httpcore, or its successor. cluster: whose connections the pool's
    are."""

    def __init__(self, core: ModuleType, version: ProxyProtocol, cluster: Cluster) -> None:
        self._inner = cast("httpcore.NetworkBackend", core.SyncBackend())
        self._version = version
        self._cluster = cluster

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Options | None = None,
    ) -> httpcore.NetworkStream:
        """Of httpcore."""
        with _counted(self._cluster, host, port) as known:
            made = self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
            return self._told(_watched(made, known), timeout)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Options | None = None
    ) -> httpcore.NetworkStream:
        """Of httpcore."""
        with _counted(self._cluster, path, 0) as known:
            made = self._inner.connect_unix_socket(path, timeout, socket_options)
            return self._told(_watched(made, known), timeout)

    def sleep(self, seconds: float) -> None:
        """Of httpcore."""
        self._inner.sleep(seconds)

    def _told(self, made: httpcore.NetworkStream, timeout: float | None) -> httpcore.NetworkStream:
        if not self._version:
            return made
        try:
            made.write(_first(self._version, made), timeout)
        except BaseException:
            made.close()
            raise
        return made


class AsyncBackend:
    """The same for its asynchronous pools."""

    def __init__(self, core: ModuleType, version: ProxyProtocol, cluster: Cluster) -> None:
        self._inner = cast("httpcore.AsyncNetworkBackend", core.AnyIOBackend())
        self._version = version
        self._cluster = cluster

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Options | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Of httpcore."""
        with _counted(self._cluster, host, port) as known:
            made = await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
            return await self._told(_awatched(made, known), timeout)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Options | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Of httpcore."""
        with _counted(self._cluster, path, 0) as known:
            made = await self._inner.connect_unix_socket(path, timeout, socket_options)
            return await self._told(_awatched(made, known), timeout)

    async def sleep(self, seconds: float) -> None:
        """Of httpcore."""
        await self._inner.sleep(seconds)

    async def _told(self, made: httpcore.AsyncNetworkStream, timeout: float | None) -> httpcore.AsyncNetworkStream:
        if not self._version:
            return made
        try:
            await made.write(_first(self._version, made), timeout)
        except BaseException:
            await made.aclose()
            raise
        return made


def _counted(cluster: Cluster, address: str, port: int) -> Counted:
    """For one of its endpoints."""
    found = (one for one in cluster.endpoints if one.port == port and one.address == address)
    return Counted(cluster, next(found, None))


def _watched(made: httpcore.NetworkStream, known: Counted) -> httpcore.NetworkStream:
    """The stream, and what TLS makes of it, tell of their end. What moves goes no other way than before."""
    close, start = made.close, made.start_tls

    def closed() -> None:
        close()
        known.end()

    def secured(*given: Any, **named: Any) -> httpcore.NetworkStream:
        return _watched(start(*given, **named), known)

    made.close, made.start_tls = closed, secured  # type: ignore[method-assign]
    return made


def _awatched(made: httpcore.AsyncNetworkStream, known: Counted) -> httpcore.AsyncNetworkStream:
    close, start = made.aclose, made.start_tls

    async def closed() -> None:
        known.end()
        await close()

    async def secured(*given: Any, **named: Any) -> httpcore.AsyncNetworkStream:
        return _awatched(await start(*given, **named), known)

    made.aclose, made.start_tls = closed, secured  # type: ignore[method-assign]
    return made


def _first(version: ProxyProtocol, made: httpcore.NetworkStream | httpcore.AsyncNetworkStream) -> bytes:
    return opening(version, None, cast("socket.socket", made.get_extra_info("socket")))


__all__ = ["AsyncBackend", "Backend"]
