"""A small API server for custom resources: lists in pages of one moment, watches with bookmarks, versions that are
forgotten. It says what the real one says, byte for byte as far as a reader of lists and watches can tell; the tests in
`test_following` hold on both."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

Document = dict[str, object]


class Answer(NamedTuple):
    """status and headers; body: what follows."""

    status: str
    body: bytes
    headers: Mapping[str, str] = {}


class Asked(NamedTuple):
    """A request: path, parameters, headers."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]

    @property
    def watch(self) -> bool:
        return self.query.get("watch", "").lower() in ("true", "1")


class _Change(NamedTuple):
    version: int
    path: tuple[str, str]
    type: str
    object: Document


class ApiServer:
    """served: "group/version/plural". answer: what a request gets instead of what it wants, or None. asked: all
    requests. oldest: changes up to this version are forgotten."""

    def __init__(self) -> None:
        self.version = 100
        self.oldest = 100
        self.served: set[str] = set()
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Answer | bytes | None] = lambda _: None
        self.port = 0
        self._objects: dict[tuple[str, str], Document] = {}
        self._history: list[_Change] = []
        self._pages: dict[str, tuple[int, list[Document]]] = {}
        self._news = asyncio.Condition()
        self._bookmarks = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, context: ssl.SSLContext | None = None) -> None:
        """context: speak TLS."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def interrupt(self) -> None:
        """End all connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self.interrupt()
        await self._server.wait_closed()

    # What is in it

    async def put(self, plural: str, document: Document) -> None:
        """Create or replace."""
        metadata = dict(document["metadata"])  # type: ignore[call-overload]
        path = (plural, f"{metadata['namespace']}/{metadata['name']}")
        self.version += 1
        kind = "MODIFIED" if path in self._objects else "ADDED"
        made = {**document, "metadata": {**metadata, "resourceVersion": str(self.version), "uid": f"u-{path[1]}"}}
        self._objects[path] = made
        await self._changed(_Change(self.version, path, kind, made))

    async def delete(self, plural: str, namespace: str, name: str) -> None:
        path = (plural, f"{namespace}/{name}")
        gone = self._objects.pop(path)
        self.version += 1
        metadata = {**gone["metadata"], "resourceVersion": str(self.version)}  # type: ignore[dict-item]
        await self._changed(_Change(self.version, path, "DELETED", {**gone, "metadata": metadata}))

    async def bookmark(self) -> None:
        """Tell all watches which version they are at."""
        self._bookmarks += 1
        await self._tell()

    def compact(self) -> None:
        """Forget what changed so far: older versions are gone, and pages of lists as well."""
        self.oldest = self.version
        self._history.clear()
        self._pages.clear()

    async def _changed(self, change: _Change) -> None:
        self._history.append(change)
        await self._tell()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    # HTTP

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await self._reply(_asked(head.decode()), writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            # Cancelled by `stop`, which waits; streams complain of a cancelled handler.
            pass
        finally:
            writer.close()

    async def _reply(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        self.asked.append(asked)
        instead = self.answer(asked)
        if isinstance(instead, bytes):
            writer.write(instead)
            return
        if instead is None and asked.watch and self._known(asked):
            await self._watch(asked, writer)
            return
        answer = instead or self._list(asked)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(answer.body)), **answer.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {answer.status}\r\n{lines}\r\n".encode() + answer.body)

    def _known(self, asked: Asked) -> bool:
        group, version, _, plural = _place(asked.path)
        return f"{group}/{version}/{plural}" in self.served

    def _list(self, asked: Asked) -> Answer:
        if not self._known(asked):
            return Answer("404 Not Found", b"404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"})
        group, version, namespace, plural = _place(asked.path)
        token = asked.query.get("continue", "")
        if token:
            if token not in self._pages:
                return status(410, "Expired", "The provided continue parameter is too old to display a consistent list")
            moment, items = self._pages[token]
        else:
            moment = self.version
            items = [
                {**found, "apiVersion": f"{group}/{version}"}
                for (kind, path), found in sorted(self._objects.items())
                if kind == plural and path.startswith(namespace and f"{namespace}/")
            ]
        limit = int(asked.query.get("limit", "0")) or len(items)
        rest = items[limit:]
        metadata: Document = {"resourceVersion": str(moment)}
        if rest:
            token = f"token-{len(self.asked)}"
            self._pages[token] = (moment, rest)
            metadata |= {"continue": token, "remainingItemCount": len(rest)}
        page = {"apiVersion": f"{group}/{version}", "items": items[:limit], "kind": "List", "metadata": metadata}
        return Answer("200 OK", json.dumps(page, separators=(",", ":")).encode() + b"\n")

    async def _watch(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        group, version, namespace, plural = _place(asked.path)
        seen, bookmarks = int(asked.query["resourceVersion"]), self._bookmarks
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            async with asyncio.timeout(int(asked.query["timeoutSeconds"])):
                while not writer.is_closing():
                    if seen < self.oldest:
                        gone = status(410, "Expired", f"too old resource version: {seen} ({self.oldest})")
                        _chunk(writer, "ERROR", json.loads(gone.body))
                        break
                    changes, seen = [one for one in self._history if one.version > seen], self.version
                    for change in changes:
                        if change.path[0] == plural and change.path[1].startswith(namespace and f"{namespace}/"):
                            _chunk(writer, change.type, {**change.object, "apiVersion": f"{group}/{version}"})
                    if bookmarks != self._bookmarks and asked.query.get("allowWatchBookmarks", "").lower() == "true":
                        bookmarks = self._bookmarks
                        place = {"resourceVersion": str(self.version), "creationTimestamp": None}
                        _chunk(writer, "BOOKMARK", {"apiVersion": f"{group}/{version}", "metadata": place})
                    await writer.drain()
                    async with self._news:
                        while (self.version, self._bookmarks) == (seen, bookmarks):
                            await self._news.wait()
        except TimeoutError:
            pass
        writer.write(b"0\r\n\r\n")


def status(code: int, reason: str, message: str, **headers: str) -> Answer:
    """An error as Kubernetes writes it."""
    said = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    return Answer(f"{code} {reason}", json.dumps({**said, "reason": reason, "code": code}).encode(), headers)


def event(type_: str, found: object) -> bytes:
    """A line of a watch."""
    return json.dumps({"type": type_, "object": found}, separators=(",", ":")).encode() + b"\n"


def _chunk(writer: asyncio.StreamWriter, type_: str, found: object) -> None:
    line = event(type_, found)
    writer.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")


def _asked(head: str) -> Asked:
    first, *lines = head.strip().split("\r\n")
    url = urlsplit(first.split(" ")[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Asked(url.path, {name: values[-1] for name, values in parse_qs(url.query).items()}, headers)


def _place(path: str) -> tuple[str, str, str, str]:
    """Group, version, namespace ("" for all) and plural."""
    _, _, group, version, *rest = path.split("/")
    return (group, version, rest[1], rest[2]) if rest[0] == "namespaces" else (group, version, "", rest[0])
