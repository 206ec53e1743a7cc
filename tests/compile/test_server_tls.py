"""TLS that a router ends."""

from __future__ import annotations

import pytest

from roadstead.compile.server_tls import server_tls
from roadstead.config import ServerTLSSettings, TLSConfig
from roadstead.config.gateway import ServerTLSMode, TLSCertificate
from roadstead.mesh import ServerTls

SECRET = {"credential_name": "s"}
FILES = {"server_certificate": "/c", "private_key": "/k"}
DEFAULTS = TLSConfig(
    min_protocol_version="TLSV1_3", cipher_suites=("AES256-GCM-SHA384",), ecdh_curves=("P-256", "X25519")
)


def made(mode: ServerTLSMode, defaults: TLSConfig | None = None, **written: object) -> ServerTls:
    tls = server_tls(ServerTLSSettings(mode=mode, **written), defaults)  # type: ignore[arg-type]
    assert tls is not None
    return tls


@pytest.mark.parametrize("mode", ["PASSTHROUGH", "AUTO_PASSTHROUGH"])
def test_what_passes_through_is_not_ended(mode: ServerTLSMode) -> None:
    assert server_tls(ServerTLSSettings(mode=mode)) is None


@pytest.mark.parametrize(
    ("mode", "written", "expected"),
    [
        ("SIMPLE", SECRET, ServerTls("SIMPLE", ("s",), "s-cacert")),
        ("MUTUAL", {"credential_names": ("a", "b")}, ServerTls("MUTUAL", ("a", "b"), "a-cacert")),
        ("MUTUAL", SECRET | {"ca_cert_credential_name": "ca"}, ServerTls("MUTUAL", ("s",), "ca")),
        ("SIMPLE", FILES, ServerTls("SIMPLE", certificates=(("/c", "/k"),))),
        ("MUTUAL", FILES | {"ca_certificates": "/ca"}, ServerTls("MUTUAL", certificates=(("/c", "/k"),), ca="/ca")),
        # The CA's secret belongs to a certificate's.
        ("MUTUAL", FILES | {"ca_cert_credential_name": "ca"}, ServerTls("MUTUAL", certificates=(("/c", "/k"),))),
        (
            "SIMPLE",
            {"tls_certificates": (TLSCertificate(server_certificate="/1", private_key="/2"),)},
            ServerTls("SIMPLE", certificates=(("/1", "/2"),)),
        ),
        # A certificate is pinned where its CA comes from a secret, revocations are read where it comes from a file.
        (
            "MUTUAL",
            SECRET | {"verify_certificate_hash": ("h",), "verify_certificate_spki": ("k",), "ca_crl": "/crl"},
            ServerTls("MUTUAL", ("s",), "s-cacert", certificate_hash=("h",), certificate_spki=("k",)),
        ),
        (
            "MUTUAL",
            FILES | {"verify_certificate_hash": ("h",), "verify_certificate_spki": ("k",), "ca_crl": "/crl"},
            ServerTls("MUTUAL", certificates=(("/c", "/k"),), ca_crl="/crl"),
        ),
        ("MUTUAL", SECRET | {"insecure_skip_verify": True}, ServerTls("MUTUAL", ("s",), "s-cacert", accepts_untrusted=True)),
        ("ISTIO_MUTUAL", {"insecure_skip_verify": True}, ServerTls("ISTIO_MUTUAL", accepts_untrusted=True)),
        ("OPTIONAL_MUTUAL", SECRET, ServerTls("OPTIONAL_MUTUAL", ("s",), "s-cacert")),
    ],
)  # fmt: skip
def test_certificates(mode: ServerTLSMode, written: dict[str, object], expected: ServerTls) -> None:
    assert made(mode, **written) == expected


@pytest.mark.parametrize("mode", ["SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"])
def test_the_mesh_has_defaults(mode: ServerTLSMode) -> None:
    tls = made(mode, DEFAULTS, **SECRET)
    assert (tls.min_version, tls.max_version) == ("TLSV1_3", "")
    assert (tls.cipher_suites, tls.curves) == (DEFAULTS.cipher_suites, DEFAULTS.ecdh_curves)


def test_a_server_has_its_own() -> None:
    own = {"min_protocol_version": "TLSV1_1", "cipher_suites": ("AES128-SHA",), "ecdh_curves": ("P-384",)}
    tls = made("SIMPLE", DEFAULTS, **SECRET, **own)
    assert (tls.min_version, tls.cipher_suites, tls.curves) == ("TLSV1_1", ("AES128-SHA",), ("P-384",))


def test_the_meshs_own_tls_has_neither() -> None:
    own = {"min_protocol_version": "TLSV1_1", "cipher_suites": ("AES128-SHA",), "ecdh_curves": ("P-384",)}
    assert made("ISTIO_MUTUAL", DEFAULTS, **own) == ServerTls("ISTIO_MUTUAL")


def test_cipher_suites_that_envoy_has_not_are_left_out() -> None:
    written = ("AES128-SHA", "RC4-SHA", "AES128-SHA", "ALL", "-ALL", "[AES128-SHA|AES256-SHA]")
    assert made("SIMPLE", **SECRET, cipher_suites=written).cipher_suites == (
        "AES128-SHA",
        "ALL",
        "-ALL",
        "[AES128-SHA|AES256-SHA]",
    )
    # With none of them left the mesh's hold.
    assert made("SIMPLE", DEFAULTS, **SECRET, cipher_suites=("RC4-SHA",)).cipher_suites == DEFAULTS.cipher_suites
