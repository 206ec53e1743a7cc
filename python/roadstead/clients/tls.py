"""What a cluster's TLS is on a real socket: `mesh.TlsOrigination` → `ssl.SSLContext`.

Certificates are checked as Envoy checks them, whatever library opens the connection: the context's own socket classes
look at subject alternative names when the handshake ends (the mesh's are URIs, which `ssl` itself does not compare).
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from roadstead.errors import TlsRefused
from roadstead.mesh import TlsOrigination

CERTIFICATE, KEY, ROOT = "cert-chain.pem", "key.pem", "root-cert.pem"
"""What an identity folder holds, named as Istio's agent names them."""
TLS_MODE_LABEL = "security.istio.io/tlsMode"


class _Made(NamedTuple):
    """A context and what its files looked like then."""

    context: ssl.SSLContext
    marks: tuple[tuple[int, int], ...]


class Originator:
    """Makes contexts, and makes them again when certificate files were replaced.

    identity: folder with cert-chain.pem, key.pem and root-cert.pem, what ISTIO_MUTUAL speaks with. credentials: folder
    with one folder for each credentialName, holding tls.crt and tls.key (MUTUAL) and ca.crt, as a Kubernetes secret is
    mounted."""

    __slots__ = ("_credentials", "_identity", "_made")

    def __init__(
        self,
        identity: str | os.PathLike[str] | None = None,
        credentials: str | os.PathLike[str] | None = None,
    ) -> None:
        self._identity = None if identity is None else Path(identity)
        self._credentials = None if credentials is None else Path(credentials)
        self._made: dict[tuple[TlsOrigination, tuple[str, ...]], _Made] = {}

    def context(self, tls: TlsOrigination, *, alpn: Sequence[str] = ()) -> ssl.SSLContext:
        """For connections under this TLS. alpn: what is offered where the policy names nothing. TlsRefused where a file
        or the identity it needs is missing or wrong; it names what is."""
        offered = tls.alpn or tuple(alpn)
        files = self.files(tls)
        marks = _marks(files)
        known = self._made.get((tls, offered))
        if known is None or known.marks != marks:
            known = self._made[tls, offered] = _Made(_context(tls, files, offered), marks)
        return known.context

    def marks(self, tls: TlsOrigination) -> tuple[tuple[int, int], ...]:
        """What tells apart the files it is spoken with, before and after they were replaced."""
        return _marks(self.files(tls))

    def wanted(self, tls: TlsOrigination | None, labels: Mapping[str, str]) -> TlsOrigination | None:
        """What is spoken to an endpoint with these labels: automatic mutual TLS (AUTO) is for those that have the
        mesh's TLS, and for us only with an identity."""
        if tls is None or tls.mode != "AUTO":
            return tls
        return tls if self._identity is not None and labels.get(TLS_MODE_LABEL) == "istio" else None

    def files(self, tls: TlsOrigination) -> Files:
        """What a TLS is spoken with; TlsRefused where the identity or the folder it needs is not given."""
        if tls.mode in ("ISTIO_MUTUAL", "AUTO"):
            if self._identity is None:
                raise TlsRefused(
                    f"{tls.mode} needs the workload's own certificate: give the folder that holds {CERTIFICATE}, {KEY} "
                    f"and {ROOT} as identity"
                )
            folder = self._identity
            return Files(str(folder / ROOT), str(folder / CERTIFICATE), str(folder / KEY), "")
        if tls.credential_name:
            return self._secret(tls)
        return Files(tls.ca, tls.certificate, tls.private_key, tls.ca_crl)

    def _secret(self, tls: TlsOrigination) -> Files:
        name = tls.credential_name
        if self._credentials is None:
            raise TlsRefused(f"credentialName {name!r}: give the folder that holds the secrets' folders as credentials")
        folder = self._credentials / name.rpartition("/")[2]
        if not folder.is_dir():
            raise TlsRefused(f"credentialName {name!r}: there is no folder {folder}")
        crl = folder / "ca.crl"
        pair = (str(folder / "tls.crt"), str(folder / "tls.key")) if tls.mode == "MUTUAL" else ("", "")
        root = folder / "ca.crt"
        return Files(str(root) if root.exists() else "", *pair, str(crl) if crl.exists() else "")


class Files(NamedTuple):
    """Paths; "" for none."""

    root: str
    certificate: str
    key: str
    crl: str

    def all(self) -> Iterable[str]:
        return [path for path in self if path]


def server_name(tls: TlsOrigination, authority: str) -> str:
    """The SNI of a connection. authority: the request's host as it is sent; it counts where the policy names none."""
    if tls.sni:
        return tls.sni
    return bare(authority) if tls.auto_sni or tls.verify == "auto" else ""


def bare(authority: str) -> str:
    """A Host without its port."""
    host, colon, port = authority.rpartition(":")
    return (host if colon and port.isdigit() else authority).strip("[]")


def _context(tls: TlsOrigination, files: Files, alpn: Sequence[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = tls.verify == "auto"
    is_mesh = tls.mode in ("ISTIO_MUTUAL", "AUTO")
    context.verify_mode = ssl.CERT_REQUIRED if tls.verify or is_mesh else ssl.CERT_NONE
    try:
        if files.root:
            context.load_verify_locations(files.root)
        elif context.verify_mode is ssl.CERT_REQUIRED:
            context.load_default_certs()
        if files.crl:
            context.load_verify_locations(files.crl)
            context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
        if files.certificate:
            context.load_cert_chain(files.certificate, files.key or None)
    except (OSError, ssl.SSLError) as error:
        raise TlsRefused(f"{', '.join(files.all())}: {error}") from error
    if is_mesh:
        # The mesh's roots are its own; its certificates carry an identity as a URI and no host.
        context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if tls.subject_alt_names and (tls.verify == "san" or is_mesh):
        _check_names(context, tls.subject_alt_names)
    return context


def _check_names(context: ssl.SSLContext, names: tuple[str, ...]) -> None:
    """Make handshakes fail in which the certificate has none of the names (Envoy: match_typed_subject_alt_names)."""

    class CheckedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            _refuse_others(self.getpeercert(), names)

    class CheckedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            _refuse_others(self.getpeercert(), names)

    context.sslsocket_class = CheckedSocket
    context.sslobject_class = CheckedObject


def _refuse_others(certificate: object, names: tuple[str, ...]) -> None:
    found = names_in(certificate)
    if not any(_is_named(wanted, found) for wanted in names):
        raise ssl.SSLCertVerificationError(
            f"certificate of {', '.join(name for _, name in found) or 'nobody'}: none of {', '.join(names)}"
        )


def names_in(certificate: object) -> list[tuple[str, str]]:
    """(kind, name) of a certificate's subject alternative names, as `getpeercert` tells them: DNS, URI, IP Address."""
    told = certificate.get("subjectAltName", ()) if isinstance(certificate, dict) else ()
    return [(kind, name) for kind, name in cast("tuple[tuple[str, str], ...]", told)]


def _is_named(wanted: str, found: Iterable[tuple[str, str]]) -> bool:
    """Exact, or a wildcard DNS name of the certificate that covers it, as Envoy matches an exact DNS name."""
    for kind, name in found:
        if name == wanted:
            return True
        if (
            kind == "DNS"
            and name.startswith("*.")
            and "." in wanted
            and wanted.lower().split(".", 1)[1] == name[2:].lower()
        ):
            return True
        if kind == "DNS" and name.lower() == wanted.lower():
            return True
        if kind == "IP Address" and _same_address(name, wanted):
            return True
    return False


def _same_address(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_address(one.strip()) == ipaddress.ip_address(other)
    except ValueError:
        return False


def _marks(files: Files) -> tuple[tuple[int, int], ...]:
    return tuple([_mark(path) for path in files.all()])


def _mark(path: str) -> tuple[int, int]:
    try:
        stat = Path(path).stat()
    except OSError as error:
        raise TlsRefused(f"{path}: {error.strerror}") from error
    return stat.st_mtime_ns, stat.st_size
