"""What a client of HTTP/1.1 is told of one request: heads, chunks, and whether its connection can go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadstead.proxy.messages import chunk, response_head

if TYPE_CHECKING:
    from roadstead.clients.bodies import HeaderList
    from roadstead.proxy.downstream import Downstream
    from roadstead.proxy.messages import Lines, Request

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


class Answer:
    """`codec.Answering`. request: None where what came is none."""

    __slots__ = ("_is_chunked", "_is_head", "_version", "client", "keep", "whole")

    def __init__(self, client: Downstream, request: Request | None) -> None:
        self.client = client
        self.whole = client
        self.keep = request is not None and request.keep
        self._version = "" if request is None else request.version
        self._is_head = request is not None and request.method == "HEAD"
        self._is_chunked = False

    @property
    def is_expired(self) -> bool:
        """Of Answering."""
        return self.client.is_expired

    def proceed(self) -> None:
        """Of Answering."""
        self.client.write(_CONTINUE)

    def finish(self, status: int, headers: HeaderList, length: int | None, body: bytes, trailers: Lines) -> None:
        """Of Answering; trailers go no further, as with Envoy."""
        if length is None and not self._is_head and status != 304:
            length = len(body)
        self.client.write(self._head(status, headers, length) + body)

    def begin(self, status: int, headers: HeaderList, length: int | None) -> None:
        """Of Answering."""
        if length is None and not self._is_head and status not in {204, 304}:
            self._is_chunked = self._version == "1.1"
            self.keep = self.keep and self._is_chunked
            if self._is_chunked:
                headers.append(("transfer-encoding", "chunked"))
        self.client.write(self._head(status, headers, length))

    def write(self, block: bytes) -> None:
        """Of Answering."""
        self.client.write(chunk(block) if self._is_chunked else block)

    async def room(self) -> None:
        """Of Answering."""
        await self.client.room()

    def end(self, trailers: Lines) -> None:
        """Of Answering; trailers go no further, as with Envoy."""
        if self._is_chunked:
            self.client.write(_LAST_CHUNK)

    def cut(self) -> None:
        """Of Answering."""
        self.client.cut()

    def _head(self, status: int, headers: HeaderList, length: int | None) -> bytes:
        if length is not None and status != 204:
            headers.append(("content-length", str(length)))
        if not self.keep:
            headers.append(("connection", "close"))
            shared = self.client.shared
            if shared.is_draining:
                shared.counts["downstream_cx_drain_close"] += 1
        elif self._version == "1.0":
            headers.append(("connection", "keep-alive"))
        return response_head(status, headers)


__all__ = ["Answer"]
