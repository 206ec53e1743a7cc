"""The egress proxy of native/examples: a process of its own on loopback, with real servers behind it and a snapshot that changes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.clients.authority import Authority
from tests.embed.conftest import WORKSPACE, run

from roadstead import Registry

MANIFEST = WORKSPACE.parent / "examples" / "Cargo.toml"
LONG = 60
MESH = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a}
spec:
  hosts: [a.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {http: PORT}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: copies}
spec:
  hosts: [copies.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {http: OTHER}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: gone}
spec:
  hosts: [gone.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {http: CLOSED}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: bytes}
spec:
  hosts: [bytes.example.com]
  ports: [{number: 7000, name: tcp, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {tcp: PORT}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: secure}
spec:
  hosts: [secure.example.com, liar.example.com]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: SECURE}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: secure}
spec:
  host: secure.example.com
  trafficPolicy: {tls: {mode: SIMPLE, sni: secure.example.com, caCertificates: ROOT, subjectAltNames: [secure.example.com]}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: liar}
spec:
  host: liar.example.com
  trafficPolicy: {tls: {mode: SIMPLE, caCertificates: ROOT, subjectAltNames: [liar.example.com]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a.example.com]
  http:
  - match: [{uri: {prefix: /old}}]
    redirect: {uri: /new, redirectCode: 302}
  - match: [{uri: {exact: /direct}}]
    directResponse: {status: 418, body: {string: short and stout}}
  - match: [{uri: {prefix: /x/}}]
    rewrite: {uri: /y/, authority: b.example.com}
    headers: {request: {set: {x-set: "1"}, remove: [x-gone]}, response: {add: {x-added: "2"}}}
    route: [{destination: {host: a.example.com}}]
  - match: [{uri: {prefix: /again}}]
    retries: {attempts: 3, retryOn: 5xx}
    route: [{destination: {host: a.example.com}}]
  - match: [{uri: {exact: /late}}]
    timeout: 0.2s
    route: [{destination: {host: a.example.com}}]
  - match: [{uri: {exact: /fault}}]
    fault: {abort: {httpStatus: 429, percentage: {value: 100}}}
    route: [{destination: {host: a.example.com}}]
  - match: [{uri: {exact: /copied}}]
    mirror: {host: copies.example.com}
    route: [{destination: {host: a.example.com}}]
  - route: [{destination: {host: a.example.com}}]
"""


class Server(ThreadingHTTPServer):
    """Tells in its answers what it was asked. `hold`: /held and /late wait for it; `failures`: how often /again fails first."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hold, self.arrived = threading.Event(), threading.Semaphore(0)
        self.failures = 0
        self.seen: list[str] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append(self.path)
        self.server.arrived.release()
        if self.path in {"/held", "/late"}:
            self.server.hold.wait(LONG)
        status = 200
        if self.path.startswith("/again") and self.server.failures > 0:
            self.server.failures -= 1
            status = 503
        told = {"path": self.path, "headers": dict(self.headers.items()), "body": body.decode()}
        answer = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as server:
        yield server


@pytest.fixture
def other() -> Iterator[Server]:
    with serving(Server()) as server:
        yield server


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    """A server that speaks TLS, and who signed for it."""
    authority = Authority(tmp_path)
    server = Server()
    context = authority.server(authority.sign("secure", "secure.example.com"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        yield server, authority.root


@pytest.fixture(scope="session")
def binary() -> Path:
    told = run("cargo", "build", "--locked", "--message-format=json", "--manifest-path", MANIFEST)
    made = [json.loads(line).get("executable") for line in told.splitlines()]
    return next(Path(path) for path in made if path)


class Proxy:
    """The running process. Its messages are read one by one: each is waited for where it must come."""

    def __init__(self, binary: Path, snapshot: Path) -> None:
        self.snapshot = snapshot
        self.process = subprocess.Popen(
            [binary, snapshot, "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().rpartition(":")[2])

    def publish(self, data: bytes) -> str:
        """Writes the snapshot in one step; what the process says of it."""
        next_one = self.snapshot.with_suffix(".next")
        next_one.write_bytes(data)
        next_one.rename(self.snapshot)
        return self.heard()

    def heard(self) -> str:
        """The next message, once it is there."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG)

    def ask(
        self, url: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, url, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def mesh(server: Server, other: Server, secure: tuple[Server, Path], text: str = MESH) -> bytes:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ports = {"PORT": server.port, "OTHER": other.port, "SECURE": secure[0].port, "CLOSED": closed.getsockname()[1]}
    for name, value in {**ports, "ROOT": secure[1]}.items():
        text = text.replace(name, str(value))
    return Registry.from_text(text, backend="native").snapshot_bytes()


@pytest.fixture
def proxy(binary: Path, server: Server, other: Server, secure: tuple[Server, Path], tmp_path: Path) -> Iterator[Proxy]:
    snapshot = tmp_path / "mesh.snapshot"
    snapshot.write_bytes(mesh(server, other, secure))
    proxy = Proxy(binary, snapshot)
    yield proxy
    proxy.process.kill()
    proxy.process.communicate()


def test_a_request_is_passed_on_as_the_rule_says(proxy: Proxy) -> None:
    status, headers, body = proxy.ask("http://a.example.com/x/1?q=v", x_gone="0", proxy_connection="close")
    told = json.loads(body)
    sent = {name.lower(): value for name, value in told["headers"].items()}
    assert (status, headers["x-added"], told["path"]) == (200, "2", "/y/1?q=v")
    assert (sent["host"], sent["x-set"], sent["x-envoy-attempt-count"]) == ("b.example.com", "1", "1")
    assert not {"x-gone", "proxy-connection"} & set(sent)


@pytest.mark.parametrize("size", [10, 500_000])
def test_bodies_arrive(proxy: Proxy, size: int) -> None:
    status, _, body = proxy.ask("http://a.example.com/again", "POST", b"b" * size)
    assert (status, json.loads(body)["body"]) == (200, "b" * size)


@pytest.mark.parametrize(
    ("path", "status", "flags", "header", "body"),
    [
        ("/old", 302, None, ("location", "http://a.example.com/new"), b""),
        ("/direct", 418, None, None, b"short and stout"),
        ("/fault", 429, "FI", None, b"fault filter abort"),
        ("/late", 504, "UT", None, b"upstream request timeout"),
    ],
)
def test_answers_of_its_own(
    proxy: Proxy, path: str, status: int, flags: str | None, header: tuple[str, str] | None, body: bytes
) -> None:
    answer = proxy.ask(f"http://a.example.com{path}")
    assert (answer[0], answer[1].get("x-response-flags"), answer[2]) == (status, flags, body)
    assert header is None or answer[1][header[0]] == header[1]


def test_a_request_is_tried_again(proxy: Proxy, server: Server) -> None:
    server.failures = 2
    status, _, body = proxy.ask("http://a.example.com/again", "POST", b"once more")
    told = json.loads(body)
    assert (status, told["body"], told["headers"]["x-envoy-attempt-count"]) == (200, "once more", "3")
    server.failures = 9
    status, headers, _ = proxy.ask("http://a.example.com/again")
    assert (status, server.failures, headers.get("x-response-flags")) == (503, 5, None)


def test_nobody_listens(proxy: Proxy) -> None:
    status, headers, body = proxy.ask("http://gone.example.com/")
    # Istio's default: twice more.
    assert (status, headers["x-response-flags"]) == (503, "URX,UF")
    assert body.endswith(b"retried and the latest reset reason: remote connection failure")


def test_a_copy_is_sent(proxy: Proxy, other: Server) -> None:
    status, _, body = proxy.ask("http://a.example.com/copied", "POST", b"twice")
    assert (status, json.loads(body)["body"]) == (200, "twice")
    assert other.arrived.acquire(timeout=LONG)
    # One, and there is no copy of the copy: it would arrive among these.
    for _ in range(20):
        assert proxy.ask("http://copies.example.com/after")[0] == 200
    assert other.seen == ["/copied", *["/after"] * 20]


def test_tls_is_originated(proxy: Proxy) -> None:
    status, _, body = proxy.ask("http://secure.example.com/s")
    assert (status, json.loads(body)["path"]) == (200, "/s")


def test_a_certificate_for_somebody_else_is_refused(proxy: Proxy) -> None:
    status, headers, _ = proxy.ask("http://liar.example.com/")
    assert (status, headers["x-response-flags"]) == (503, "URX,UF")


def test_unknown_hosts_are_let_through(proxy: Proxy, server: Server) -> None:
    status, _, body = proxy.ask(f"http://127.0.0.1:{server.port}/anywhere")
    assert (status, json.loads(body)["path"]) == (200, "/anywhere")


def test_a_tunnel(proxy: Proxy, secure: tuple[Server, Path]) -> None:
    for host, port in (("bytes.example.com", 7000), ("127.0.0.1", secure[0].port)):
        tunnel = proxy.connect()
        tunnel.set_tunnel(host, port)
        tunnel.connect()
        if port == secure[0].port:
            context = ssl.create_default_context(cafile=str(secure[1]))
            tunnel.sock = context.wrap_socket(tunnel.sock, server_hostname="secure.example.com")
        with contextlib.closing(tunnel):
            tunnel.request("GET", "/through")
            assert json.loads(tunnel.getresponse().read())["path"] == "/through"


def test_a_tunnel_to_nobody(proxy: Proxy) -> None:
    connection = proxy.connect()
    connection.set_tunnel("gone.example.com", 80)
    with contextlib.closing(connection), pytest.raises(OSError, match="503"):
        connection.connect()


def test_what_it_does_not_speak(proxy: Proxy) -> None:
    assert proxy.ask("https://a.example.com/")[0] == 501


def test_a_snapshot_is_taken_over_while_it_serves(
    proxy: Proxy, server: Server, other: Server, secure: tuple[Server, Path]
) -> None:
    with contextlib.closing(proxy.connect()) as before:
        before.request("GET", "http://a.example.com/held")
        assert server.arrived.acquire(timeout=LONG)
        assert "is not taken over: " in proxy.publish(b"{}")
        assert proxy.ask("http://a.example.com/direct")[0] == 418
        assert "version 2" in proxy.publish(mesh(server, other, secure, MESH.replace("status: 418", "status: 451")))
        assert proxy.ask("http://a.example.com/direct")[0] == 451
        server.hold.set()
        assert json.loads(before.getresponse().read())["path"] == "/held"


def test_what_is_under_way_may_end(proxy: Proxy, server: Server) -> None:
    with contextlib.closing(proxy.connect()) as connection:
        connection.request("GET", "http://a.example.com/held")
        assert server.arrived.acquire(timeout=LONG)
        proxy.process.send_signal(signal.SIGTERM)
        assert "nothing more is accepted" in proxy.heard()
        with pytest.raises(ConnectionRefusedError):
            proxy.ask("http://a.example.com/direct")
        server.hold.set()
        answer = connection.getresponse()
        assert json.loads(answer.read())["path"] == "/held"
    assert proxy.process.wait(LONG) == 0


@pytest.mark.parametrize(
    ("snapshot", "address", "status", "said"),
    [
        (None, "127.0.0.1:0", 1, "No such file"),
        (b"{}", "127.0.0.1:0", 1, 'begins with "format"'),
        (None, None, 64, "usage: egress-proxy SNAPSHOT ADDRESS:PORT"),
    ],
)
def test_a_start_that_fails_is_told(
    binary: Path, tmp_path: Path, snapshot: bytes | None, address: str | None, status: int, said: str
) -> None:
    file = tmp_path / "mesh.snapshot"
    if snapshot is not None:
        file.write_bytes(snapshot)
    words = [os.fspath(binary), os.fspath(file), *([address] if address else [])]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=LONG)
    assert (done.returncode, said in done.stderr) == (status, True)
