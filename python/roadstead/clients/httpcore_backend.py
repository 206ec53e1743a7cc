"""Connections of httpcore (what httpx stands on) that begin with the PROXY protocol."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, cast

from roadstead.clients.proxy_protocol import opening

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    import httpcore

    from roadstead.mesh.cluster import ProxyProtocol

    Options = Iterable[httpcore.SOCKET_OPTION]


class Proxied:
    """For a pool as its `network_backend`. core: httpcore, or its successor."""

    def __init__(self, core: ModuleType, version: ProxyProtocol) -> None:
        self._inner = cast("httpcore.NetworkBackend", core.SyncBackend())
        self._version = version

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Options | None = None,
    ) -> httpcore.NetworkStream:
        """Of httpcore."""
        return self._told(self._inner.connect_tcp(host, port, timeout, local_address, socket_options), timeout)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Options | None = None
    ) -> httpcore.NetworkStream:
        """Of httpcore."""
        return self._told(self._inner.connect_unix_socket(path, timeout, socket_options), timeout)

    def sleep(self, seconds: float) -> None:
        """Of httpcore."""
        self._inner.sleep(seconds)

    def _told(self, made: httpcore.NetworkStream, timeout: float | None) -> httpcore.NetworkStream:
        try:
            made.write(_first(self._version, made), timeout)
        except BaseException:
            made.close()
            raise
        return made


class AsyncProxied:
    """The same for its asynchronous pools."""

    def __init__(self, core: ModuleType, version: ProxyProtocol) -> None:
        self._inner = cast("httpcore.AsyncNetworkBackend", core.AnyIOBackend())
        self._version = version

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Options | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Of httpcore."""
        made = await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return await self._told(made, timeout)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Options | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Of httpcore."""
        return await self._told(await self._inner.connect_unix_socket(path, timeout, socket_options), timeout)

    async def sleep(self, seconds: float) -> None:
        """Of httpcore."""
        await self._inner.sleep(seconds)

    async def _told(self, made: httpcore.AsyncNetworkStream, timeout: float | None) -> httpcore.AsyncNetworkStream:
        try:
            await made.write(_first(self._version, made), timeout)
        except BaseException:
            await made.aclose()
            raise
        return made


def _first(version: ProxyProtocol, made: httpcore.NetworkStream | httpcore.AsyncNetworkStream) -> bytes:
    return opening(version, None, cast("socket.socket", made.get_extra_info("socket")))


__all__ = ["AsyncProxied", "Proxied"]
