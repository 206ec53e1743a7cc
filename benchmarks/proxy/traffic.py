"""Both ends of a proxy under load, each a process: `python -m benchmarks.proxy.traffic serve` answers every request with a
kilobyte, `… ask PROXY-PORT UPSTREAM-PORT CONNECTIONS SECONDS` asks through the proxy and prints what it got."""

from __future__ import annotations

import asyncio
import json
import sys
import time

_BODY = b"x" * 1024
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n"
# A request as a browser sends it.
HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    "Accept": "application/json, text/plain, */*",
    "Accept-Encoding": "gzip, deflate, br",
    "Accept-Language": "en-GB,en;q=0.8",
    "Authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.e30",
    "Cookie": "session=8f14e45f; theme=dark",
    "X-Request-Id": "7b1c5a6e-0000-4000-8000-000000000000",
}


class Upstream(asyncio.Protocol):
    """Requests without bodies."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        count = data.count(b"\r\n\r\n")
        self._rest = data[data.rindex(b"\r\n\r\n") + 4 :] if count else data
        if count:
            self._transport.write((_HEAD + _BODY) * count)


class Asking(asyncio.Protocol):
    """One connection that asks again as soon as it has its answer."""

    def __init__(self, request: bytes, over: float) -> None:
        self._request = request
        self._over = over
        self._seen = b""
        self.done = self.wrong = 0
        self.times: list[float] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        end = self._seen.find(b"\r\n\r\n")
        if end < 0 or len(self._seen) < end + 4 + 1024:
            return
        if self._seen.startswith(b"HTTP/1.1 200") and len(self._seen) == end + 4 + 1024:
            self.done += 1
            self.times.append(time.perf_counter() - self._at)
        else:
            self.wrong += 1
        self._seen = b""
        if time.perf_counter() < self._over:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if time.perf_counter() < self._over:
            self.wrong += 1
        if not self.ended.done():
            self.ended.set_result(None)


async def serve() -> None:
    """Until killed; says its port first."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def ask(proxy: int, upstream: int, connections: int, seconds: float) -> None:
    """Print requests a second, the wrong ones, and the median and 99th percentile of an answer in milliseconds."""
    host = f"127.0.0.1:{upstream}"
    lines = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    request = f"GET http://{host}/api/v1/orders/17?full=1 HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode()
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = [
        (await loop.create_connection(lambda: Asking(request, began + seconds), "127.0.0.1", proxy))[1]
        for _ in range(connections)
    ]
    await asyncio.wait([one.ended for one in made], timeout=seconds + 10)
    took = time.perf_counter() - began
    times = sorted(time for one in made for time in one.times) or [0.0]
    print(
        json.dumps(
            {
                "requests": sum(one.done for one in made),
                "seconds": took,
                "wrong": sum(one.wrong for one in made),
                "median": times[len(times) // 2] * 1000,
                "p99": times[len(times) * 99 // 100] * 1000,
            }
        )
    )


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve())
    else:
        asyncio.run(ask(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])))
