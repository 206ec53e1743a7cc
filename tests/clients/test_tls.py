"""Handshakes with a real server, by blocking sockets and by asyncio."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.clients.authority import Authority

from roadstead import TlsRefused
from roadstead.clients.tls import Originator, names_in, server_name
from roadstead.mesh import TlsOrigination

SPIFFE = "spiffe://cluster.local/ns/shop/sa/cart"


class Seen:
    """What the server saw of the last connection."""

    sni: str | None = None
    client: list[tuple[str, str]] = []  # noqa: RUF012 - replaced, never changed


@asynccontextmanager
async def serving(context: ssl.SSLContext) -> AsyncIterator[tuple[int, Seen]]:
    """A server that says a word to whoever gets through the handshake."""
    seen = Seen()

    def name(_: ssl.SSLObject, given: str | None, __: ssl.SSLContext) -> None:
        seen.sni = given

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.client = names_in(writer.get_extra_info("peercert"))
        writer.write(b"hello")
        writer.close()

    context.sni_callback = name
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], seen


def by_socket(port: int, context: ssl.SSLContext, sni: str) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname=sni or None) as made,
    ):
        return made.recv(5)


async def said(port: int, context: ssl.SSLContext, sni: str, *, blocking: bool) -> bytes:
    """What the server says; raises what the handshake raises."""
    if blocking:
        return await asyncio.to_thread(by_socket, port, context, sni)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=sni)
    try:
        return await reader.readexactly(5)
    finally:
        writer.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def simple(authority: Authority, **fields: object) -> TlsOrigination:
    return TlsOrigination("SIMPLE", ca=str(authority.root), **fields)  # type: ignore[arg-type]


# (certificate's names, verify, wanted names, sni, accepted)
CHECKS = [
    (("api.test",), "", (), "", True),
    (("api.test",), "ca", (), "other.test", True),
    (("api.test",), "auto", (), "api.test", True),
    (("api.test",), "auto", (), "other.test", False),
    (("*.api.test",), "auto", (), "v1.api.test", True),
    (("api.test", SPIFFE), "san", (SPIFFE,), "api.test", True),
    (("api.test", SPIFFE), "san", ("spiffe://other", SPIFFE), "api.test", True),
    (("api.test", SPIFFE), "san", ("spiffe://other",), "api.test", False),
    (("api.test",), "san", ("API.test",), "x.test", True),
    (("*.test",), "san", ("api.test",), "x.test", True),
    (("*.test",), "san", ("v1.api.test",), "x.test", False),
    (("10.0.0.1",), "san", ("10.0.0.1",), "x.test", True),
    (("10.0.0.1",), "san", ("10.0.0.2",), "x.test", False),
]


@pytest.mark.parametrize("blocking", [True, False], ids=["socket", "asyncio"])
@pytest.mark.parametrize(("names", "verify", "wanted", "sni", "accepted"), CHECKS)
async def test_what_a_certificate_has_to_say(
    authority: Authority,
    names: tuple[str, ...],
    verify: str,
    wanted: tuple[str, ...],
    sni: str,
    accepted: bool,
    blocking: bool,
) -> None:
    tls = simple(authority, verify=verify, subject_alt_names=wanted)
    async with serving(authority.server(authority.sign("server", *names))) as (port, seen):
        context = Originator().context(tls)
        if accepted:
            assert await said(port, context, sni, blocking=blocking) == b"hello"
            assert seen.sni == (sni or None)
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                await said(port, context, sni, blocking=blocking)


@pytest.mark.parametrize("verify", ["ca", "san", "auto"])
async def test_another_authority_is_refused(authority: Authority, tmp_path: Path, verify: str) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    tls = simple(authority, verify=verify, subject_alt_names=("api.test",))
    async with serving(other.server(other.sign("server", "api.test"))) as (port, _):
        with pytest.raises(ssl.SSLCertVerificationError):
            await said(port, Originator().context(tls), "api.test", blocking=False)


async def test_mutual_with_files(authority: Authority) -> None:
    pair = authority.sign("client", SPIFFE)
    tls = TlsOrigination(
        "MUTUAL", ca=str(authority.root), certificate=str(pair.certificate), private_key=str(pair.key), verify="ca"
    )
    async with serving(authority.server(authority.sign("server", "api.test"), clients=True)) as (port, seen):
        assert await said(port, Originator().context(tls), "api.test", blocking=False) == b"hello"
    assert seen.client == [("URI", SPIFFE)]


async def test_the_identity_of_the_mesh(authority: Authority, tmp_path: Path) -> None:
    """A replaced certificate is used from the next context on."""
    tls = TlsOrigination("ISTIO_MUTUAL", sni="outbound_.80_._.a.test", subject_alt_names=(SPIFFE,), alpn=("istio",))
    folder = authority.identity(tmp_path / "identity", "spiffe://cluster.local/ns/web/sa/one")
    origin = Originator(folder)
    async with serving(authority.server(authority.sign("server", SPIFFE), clients=True)) as (port, seen):
        context = origin.context(tls)
        assert origin.context(tls) is context
        assert await said(port, context, server_name(tls, "a.test"), blocking=False) == b"hello"
        assert (seen.sni, seen.client) == ("outbound_.80_._.a.test", [("URI", "spiffe://cluster.local/ns/web/sa/one")])
        renewed = authority.identity(tmp_path / "renewed", "spiffe://cluster.local/ns/web/sa/two")
        for name in ("cert-chain.pem", "key.pem"):
            (renewed / name).replace(folder / name)
        assert await said(port, origin.context(tls), server_name(tls, "a.test"), blocking=False) == b"hello"
        assert seen.client == [("URI", "spiffe://cluster.local/ns/web/sa/two")]


async def test_a_secret_as_it_is_mounted(authority: Authority, tmp_path: Path) -> None:
    pair = authority.sign("client", SPIFFE)
    folder = tmp_path / "secrets" / "client-credential"
    folder.mkdir(parents=True)
    pair.certificate.rename(folder / "tls.crt")
    pair.key.rename(folder / "tls.key")
    (folder / "ca.crt").write_bytes(authority.root.read_bytes())
    tls = TlsOrigination("MUTUAL", credential_name="client-credential", verify="ca")
    async with serving(authority.server(authority.sign("server", "api.test"), clients=True)) as (port, seen):
        context = Originator(credentials=tmp_path / "secrets").context(tls)
        assert await said(port, context, "api.test", blocking=False) == b"hello"
    assert seen.client == [("URI", SPIFFE)]


MISSING = [
    (Originator(), TlsOrigination("ISTIO_MUTUAL"), "identity"),
    (Originator("/nowhere"), TlsOrigination("ISTIO_MUTUAL"), "/nowhere/root-cert.pem: No such file"),
    (Originator(), TlsOrigination("SIMPLE", ca="/nowhere/ca.pem", verify="ca"), "/nowhere/ca.pem: No such file"),
    (Originator(), TlsOrigination("SIMPLE", credential_name="secret"), "credentialName 'secret'"),
    (Originator(credentials="/nowhere"), TlsOrigination("SIMPLE", credential_name="secret"), "/nowhere/secret"),
]


@pytest.mark.parametrize(("origin", "tls", "told"), MISSING)
def test_what_is_missing_is_named(origin: Originator, tls: TlsOrigination, told: str) -> None:
    with pytest.raises(TlsRefused, match=told):
        origin.context(tls)


def test_a_file_that_is_no_certificate(tmp_path: Path) -> None:
    bad = tmp_path / "ca.pem"
    bad.write_text("nonsense")
    with pytest.raises(TlsRefused, match=r"ca\.pem"):
        Originator().context(TlsOrigination("SIMPLE", ca=str(bad), verify="ca"))


@pytest.mark.parametrize(
    ("tls", "authority_text", "expected"),
    [
        (TlsOrigination("SIMPLE", sni="x.test"), "a.test:80", "x.test"),
        (TlsOrigination("SIMPLE", auto_sni=True), "a.test:80", "a.test"),
        (TlsOrigination("SIMPLE", auto_sni=True), "a.test", "a.test"),
        (TlsOrigination("SIMPLE", auto_sni=True), "[::1]:80", "::1"),
        (TlsOrigination("SIMPLE"), "a.test:80", ""),
    ],
)
def test_server_name(tls: TlsOrigination, authority_text: str, expected: str) -> None:
    assert server_name(tls, authority_text) == expected


def test_automatic_tls_is_for_those_who_have_it(tmp_path: Path) -> None:
    auto, plain = TlsOrigination("AUTO"), TlsOrigination("SIMPLE")
    labels = {"security.istio.io/tlsMode": "istio"}
    assert Originator(tmp_path).wanted(auto, labels) is auto
    assert Originator(tmp_path).wanted(auto, {}) is None
    assert Originator().wanted(auto, labels) is None
    assert Originator().wanted(plain, {}) is plain
