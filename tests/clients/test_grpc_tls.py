"""The mesh's TLS under gRPC, with real servers: identities, names, files that change; what gRPC's own TLS cannot check."""

from __future__ import annotations

import gc
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.clients.authority import Authority
from tests.clients.grpc_server import CODE, Server
from tests.clients.test_grpc import NO_RETRIES, Asynchronous, Blocking, mesh

from roadstead import Registry, TlsRefused
from roadstead.clients.grpc import channel
from roadstead.clients.grpc_tls import is_grpcs
from roadstead.mesh import TlsOrigination

CART, SHOP = "spiffe://cluster.local/ns/shop/sa/cart", "spiffe://cluster.local/ns/shop/sa/shop"


@pytest.fixture(params=[Blocking, Asynchronous])
def way(request: pytest.FixtureRequest) -> type[Blocking]:
    return request.param


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def serving(authority: Authority, *names: str, clients: bool = False) -> Iterator[Server]:
    """clients: only those with a certificate of the authority."""
    pair = authority.sign("server", *names)
    files = ((pair.key.read_bytes(), pair.certificate.read_bytes()),)
    root = authority.root.read_bytes() if clients else None
    server = Server(grpc.ssl_server_credentials(files, root, require_client_auth=clients))
    try:
        yield server
    finally:
        server.stop()


def asked(way: type[Blocking], server: Server, engine: str, tls: str, *, method: str = "one", **options: Any) -> Any:
    text = mesh(server.port, http=NO_RETRIES, policy=f"{{tls: {{{tls}}}}}")
    return way(Registry.from_text(text, backend=engine), **options).call(method, b"hi")


# (names of the server's certificate, the rule's tls, accepted)
CHECKS = [
    ((CART,), f"mode: ISTIO_MUTUAL, subjectAltNames: ['{CART}']", True),
    ((CART,), f"mode: ISTIO_MUTUAL, subjectAltNames: ['{SHOP}', '{CART}']", True),
    ((CART,), f"mode: ISTIO_MUTUAL, subjectAltNames: ['{SHOP}']", False),
    (("a.test",), "mode: SIMPLE, caCertificates: ROOT, sni: a.test, subjectAltNames: [b.test, a.test]", True),
    (("b.test",), "mode: SIMPLE, caCertificates: ROOT, sni: a.test, subjectAltNames: [b.test, c.test]", True),
    (("a.test",), "mode: SIMPLE, caCertificates: ROOT, sni: a.test, subjectAltNames: [b.test, c.test]", False),
    (("a.test",), "mode: SIMPLE, caCertificates: ROOT, sni: a.test, subjectAltNames: [a.test]", True),
    (("a.test",), "mode: SIMPLE, caCertificates: ROOT, sni: b.test, subjectAltNames: [b.test]", False),
    (("a.test",), "mode: SIMPLE, insecureSkipVerify: true", True),
    (("10.1.2.3",), "mode: SIMPLE, caCertificates: ROOT, subjectAltNames: [10.1.2.3]", True),
    (("10.1.2.3",), "mode: SIMPLE, caCertificates: ROOT, subjectAltNames: [10.1.2.4]", False),
    (("a.test",), "mode: MUTUAL, caCertificates: ROOT, clientCertificate: CERT, privateKey: KEY, sni: a.test", True),
    (
        ("a.test", SHOP),
        f"mode: MUTUAL, caCertificates: ROOT, clientCertificate: CERT, privateKey: KEY, subjectAltNames: ['{SHOP}']",
        True,
    ),
]


@pytest.mark.parametrize(("names", "tls", "accepted"), CHECKS)
def test_who_the_server_has_to_be(
    way: type[Blocking],
    engine_name: str,
    authority: Authority,
    tmp_path: Path,
    names: tuple[str, ...],
    tls: str,
    accepted: bool,
) -> None:
    identity = authority.identity(tmp_path / "identity", SHOP)
    client = authority.sign("client", "client.test")
    for word, path in (("ROOT", authority.root), ("CERT", client.certificate), ("KEY", client.key)):
        tls = tls.replace(word, str(path))
    with serving(authority, *names, clients="MUTUAL" in tls) as server:
        if accepted:
            assert asked(way, server, engine_name, tls, identity=identity) == b"echo hi"
            return
        with pytest.raises(grpc.RpcError) as raised:
            asked(way, server, engine_name, tls, identity=identity)
        assert raised.value.code() is CODE.UNAVAILABLE
        assert "upstream connect error" in raised.value.details()
        assert server.calls == []


def test_why_a_server_is_refused_is_said(
    way: type[Blocking], engine_name: str, authority: Authority, tmp_path: Path
) -> None:
    identity = authority.identity(tmp_path / "identity", SHOP)
    with serving(authority, CART) as server:
        with pytest.raises(grpc.RpcError) as raised:
            asked(way, server, engine_name, f"mode: ISTIO_MUTUAL, subjectAltNames: ['{SHOP}']", identity=identity)
        assert f"certificate of {CART}: none of {SHOP}" in raised.value.details()


def test_a_server_of_another_authority(
    way: type[Blocking], engine_name: str, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "other")
    identity = authority.identity(tmp_path / "identity", SHOP)
    with serving(other, CART) as server:
        with pytest.raises(grpc.RpcError) as raised:
            asked(way, server, engine_name, f"mode: ISTIO_MUTUAL, subjectAltNames: ['{CART}']", identity=identity)
        assert "CERTIFICATE_VERIFY_FAILED" in raised.value.details()
        assert server.calls == []


def test_without_an_identity_nothing_is_sent(way: type[Blocking], engine_name: str, authority: Authority) -> None:
    with serving(authority, CART) as server:
        with pytest.raises(TlsRefused, match=r"give the folder that holds cert-chain\.pem"):
            asked(way, server, engine_name, "mode: ISTIO_MUTUAL")
        with pytest.raises(TlsRefused, match="nowhere"):
            asked(way, server, engine_name, "mode: SIMPLE, caCertificates: /nowhere.pem, sni: a.test")


@pytest.mark.parametrize(
    ("method", "said"),
    [("one", b"echo hi"), ("many", [b"hi 0", b"hi 1", b"hi 2"]), ("sum", b"hi+hi+hi"), ("chat", [b"echo hi"] * 3)],
)
def test_calls_of_each_kind(
    way: type[Blocking], engine_name: str, authority: Authority, tmp_path: Path, method: str, said: Any
) -> None:
    identity = authority.identity(tmp_path / "identity", SHOP)
    with serving(authority, CART, clients=True) as server:
        tls = f"mode: ISTIO_MUTUAL, subjectAltNames: ['{CART}']"
        assert asked(way, server, engine_name, tls, method=method, identity=identity) == said
        assert len(server.calls) == 1


def test_large_messages_at_once(engine_name: str, authority: Authority, tmp_path: Path) -> None:
    identity = authority.identity(tmp_path / "identity", SHOP)
    big = bytes(3 << 20)
    with serving(authority, CART, clients=True) as server:
        text = mesh(server.port, policy=f"{{tls: {{mode: ISTIO_MUTUAL, subjectAltNames: ['{CART}']}}}}")
        registry = Registry.from_text(text, backend=engine_name)
        with channel(registry, "greeter.test:50051", identity=identity) as opened:
            calls = [opened.unary_unary("/test.Greeter/one").future(big) for _ in range(8)]
            assert {len(call.result(30)) for call in calls} == {len(big) + 5}


@pytest.mark.parametrize("mode", ["ISTIO_MUTUAL", "MUTUAL"])
def test_certificates_that_were_replaced(engine_name: str, authority: Authority, tmp_path: Path, mode: str) -> None:
    """A channel that lives on: the identity the server does not know becomes one that it does."""
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "other")
    folder = other.identity(tmp_path / "identity", SHOP)
    (folder / "root-cert.pem").write_bytes(authority.root.read_bytes())
    right = authority.identity(tmp_path / "right", SHOP)
    tls = f"mode: ISTIO_MUTUAL, subjectAltNames: ['{CART}']"
    if mode == "MUTUAL":
        tls = (
            f"mode: MUTUAL, clientCertificate: {folder}/cert-chain.pem, privateKey: {folder}/key.pem,"
            f" caCertificates: {authority.root}, sni: a.test"
        )
    with serving(authority, CART, "a.test", clients=True) as server:
        text = mesh(server.port, http=NO_RETRIES, policy=f"{{tls: {{{tls}}}}}")
        registry = Registry.from_text(text, backend=engine_name)
        with channel(registry, "greeter.test:50051", identity=folder) as opened:
            one = opened.unary_unary("/test.Greeter/one")
            with pytest.raises(grpc.RpcError):
                one(b"hi")
            for name in ("cert-chain.pem", "key.pem"):
                shutil.copy(right / name, folder / f"{name}.new")
                (folder / f"{name}.new").rename(folder / name)
            answer, until = None, threading.Event()
            for _ in range(100):
                try:
                    answer = one(b"hi", wait_for_ready=True, timeout=10)
                    break
                except grpc.RpcError:
                    until.wait(0.05)
            assert answer == b"echo hi"


def test_a_token_of_the_call(engine_name: str, authority: Authority, tmp_path: Path) -> None:
    """gRPC sends one over nothing less than TLS, and what leaves this process is TLS."""
    identity = authority.identity(tmp_path / "identity", SHOP)
    with serving(authority, CART, clients=True) as server:
        text = mesh(server.port, policy=f"{{tls: {{mode: ISTIO_MUTUAL, subjectAltNames: ['{CART}']}}}}")
        registry = Registry.from_text(text, backend=engine_name)
        with channel(registry, "greeter.test:50051", identity=identity) as opened:
            token = grpc.access_token_call_credentials("secret")
            assert opened.unary_unary("/test.Greeter/one")(b"hi", credentials=token) == b"echo hi"
        [(_, headers)] = server.calls
        assert headers["authorization"] == "Bearer secret"


def test_nobody_else_speaks_with_the_identity(engine_name: str, authority: Authority, tmp_path: Path) -> None:
    """The socket between the channel and its TLS is in a folder of the user's own, and gone with the channel."""
    identity = authority.identity(tmp_path / "identity", SHOP)
    before = threading.active_count()
    with serving(authority, CART, clients=True) as server:
        text = mesh(server.port, policy=f"{{tls: {{mode: ISTIO_MUTUAL, subjectAltNames: ['{CART}']}}}}")
        registry = Registry.from_text(text, backend=engine_name)
        opened: Any = channel(registry, "greeter.test:50051", identity=identity)
        with opened:
            assert opened.unary_unary("/test.Greeter/one")(b"hi") == b"echo hi"
            relay = opened.calls._relay
            folder = Path(relay._folder.name)
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            [path] = relay._paths.values()
            assert Path(path).parent == folder
        assert not folder.exists()
        assert relay._thread is None
    assert threading.active_count() <= before + 1


def test_a_channel_that_nobody_closes(engine_name: str, authority: Authority, tmp_path: Path) -> None:
    """Its thread, sockets and folder go with it."""
    identity = authority.identity(tmp_path / "identity", SHOP)
    with serving(authority, CART, clients=True) as server:
        text = mesh(server.port, policy=f"{{tls: {{mode: ISTIO_MUTUAL, subjectAltNames: ['{CART}']}}}}")
        opened: Any = channel(Registry.from_text(text, backend=engine_name), "greeter.test:50051", identity=identity)
        assert opened.unary_unary("/test.Greeter/one")(b"hi") == b"echo hi"
        relay = opened.calls._relay
        folder, thread = Path(relay._folder.name), relay._thread
        del opened
        # gRPC's own threads let go of the call in their time.
        for _ in range(300):
            gc.collect()
            thread.join(0.1)
            if not thread.is_alive():
                break
        assert not thread.is_alive()
        assert not folder.exists()


def test_temporary_folders_with_long_names(
    engine_name: str, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = authority.identity(tmp_path / "identity", SHOP)
    long = tmp_path / ("n" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with serving(authority, CART, clients=True) as server:
        tls = f"mode: ISTIO_MUTUAL, subjectAltNames: ['{CART}']"
        assert asked(Blocking, server, engine_name, tls, identity=identity) == b"echo hi"


@pytest.mark.parametrize(
    ("tls", "sni", "own"),
    [
        (TlsOrigination("SIMPLE", verify="auto"), "a.test", True),
        (TlsOrigination("MUTUAL", verify="san", subject_alt_names=("a.test",)), "a.test", True),
        (TlsOrigination("SIMPLE", verify="san", subject_alt_names=("b.test",)), "a.test", False),
        (TlsOrigination("SIMPLE", verify="san", subject_alt_names=("a.test", "b.test")), "a.test", False),
        (TlsOrigination("SIMPLE", verify="ca"), "a.test", False),
        (TlsOrigination("SIMPLE", verify=""), "a.test", False),
        (TlsOrigination("SIMPLE", verify="auto"), "", False),
        (TlsOrigination("SIMPLE", verify="auto", ca_crl="crl.pem"), "a.test", False),
        (TlsOrigination("SIMPLE", verify="auto"), "10.0.0.1", False),
        (TlsOrigination("ISTIO_MUTUAL", verify="auto"), "a.test", False),
    ],
)
def test_what_grpc_checks_by_itself(tls: TlsOrigination, sni: str, own: bool) -> None:
    assert is_grpcs(tls, sni) is own
