"""A gRPC server of bytes on loopback that does what a test tells it to, call by call."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc

CODE = grpc.StatusCode


def greeter(*ports: int, http: str = "", route: str = "route: [{destination: {host: greeter.test}}]") -> str:
    """greeter.test:50051 at these ports of ours, under one rule. http: more of the rule."""
    endpoints = "\n".join(f"  - {{address: 127.0.0.1, ports: {{grpc: {port}}}}}" for port in ports)
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: greeter}}
spec:
  hosts: [greeter.test]
  ports: [{{number: 50051, name: grpc, protocol: GRPC}}]
  resolution: STATIC
  endpoints:
{endpoints}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: greeter}}
spec:
  hosts: [greeter.test]
  http:
  - {route}
    {http}
---
"""


class Server:
    """Answers `echo …` to each message; statuses from `script` first. calls: (method, metadata) of each."""

    def __init__(self, credentials: grpc.ServerCredentials | None = None) -> None:
        self.script: deque[grpc.StatusCode | float] = deque()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.gone = threading.Event()
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((self,))  # type: ignore[arg-type]
        if credentials is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            self.port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self._server.start()

    def service(self, details: Any) -> grpc.RpcMethodHandler:
        name = details.method
        made = {"one": "unary_unary", "many": "unary_stream", "sum": "stream_unary", "chat": "stream_stream"}
        kind = made.get(name.rpartition("/")[2], "unary_unary")
        return getattr(grpc, f"{kind}_rpc_method_handler")(getattr(self, f"_{kind}")(name))

    def _begin(self, name: str, context: grpc.ServicerContext) -> None:
        self.calls.append(
            (name, dict(context.invocation_metadata()) | {":host": context.host() if hasattr(context, "host") else ""})
        )
        told = self.script.popleft() if self.script else CODE.OK
        if isinstance(told, float):
            self.gone.wait(told)
        elif told is not CODE.OK:
            context.abort(told, "as told")

    def _unary_unary(self, name: str) -> Any:
        def work(request: bytes, context: grpc.ServicerContext) -> bytes:
            self._begin(name, context)
            context.send_initial_metadata((("x-by", str(self.port)),))
            return b"echo " + request

        return work

    def _unary_stream(self, name: str) -> Any:
        def work(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            self._begin(name, context)
            for number in range(3):
                yield b"%s %d" % (request, number)
            if request == b"fail":
                context.abort(CODE.DATA_LOSS, "in the middle")

        return work

    def _stream_unary(self, name: str) -> Any:
        def work(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            self._begin(name, context)
            return b"+".join(requests)

        return work

    def _stream_stream(self, name: str) -> Any:
        def work(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            self._begin(name, context)
            for request in requests:
                yield b"echo " + request

        return work

    def stop(self) -> None:
        self.gone.set()
        self._server.stop(None).wait()
