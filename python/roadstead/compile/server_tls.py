"""TLS that a router ends (Istio: core/gateway.go buildGatewayListenerTLSContext, core/listener.go
BuildListenerTLSContext)."""

from __future__ import annotations

from collections.abc import Iterable

from roadstead.config import TLSConfig
from roadstead.config.gateway import ServerTLSSettings
from roadstead.mesh import ServerTls

_CA_SUFFIX = "-cacert"
# What Envoy's TLS library has; Istio leaves out the rest, for Envoy would refuse the whole listener.
_CIPHER_SUITES = frozenset(
    {
        "AES128-GCM-SHA256",
        "AES128-SHA",
        "AES256-GCM-SHA384",
        "AES256-SHA",
        "DES-CBC3-SHA",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-SHA",
        "ECDHE-RSA-CHACHA20-POLY1305",
    }
)
_NO_DEFAULTS = TLSConfig()


def server_tls(written: ServerTLSSettings, defaults: TLSConfig | None = None) -> ServerTls | None:
    """None for TLS that passes through unopened. defaults: the mesh's tlsDefaults, for what the server leaves open."""
    mode = written.mode
    match mode:
        case "PASSTHROUGH" | "AUTO_PASSTHROUGH":
            return None
    # The mesh's own TLS is what the mesh has it to be, whatever is written.
    own = mode == "ISTIO_MUTUAL"
    credentials = written.credential_names or ((written.credential_name,) if written.credential_name else ())
    if own:
        credentials = ()
    files = tuple([(pair.server_certificate, pair.private_key) for pair in written.tls_certificates])
    if not files and written.server_certificate:
        files = ((written.server_certificate, written.private_key),)
    mesh = defaults or _NO_DEFAULTS
    return ServerTls(
        mode,
        credentials,
        (written.ca_cert_credential_name or credentials[0] + _CA_SUFFIX) if credentials else "",
        files,
        written.ca_certificates,
        # Of a secret, revocations come with its CA; of files, nothing is pinned.
        "" if credentials else written.ca_crl,
        written.subject_alt_names,
        written.verify_certificate_spki if credentials else (),
        written.verify_certificate_hash if credentials else (),
        "" if own else _version(written.min_protocol_version) or _version(mesh.min_protocol_version),
        "" if own else _version(written.max_protocol_version),
        () if own else tuple(_known(written.cipher_suites)) or mesh.cipher_suites,
        () if own else written.ecdh_curves or mesh.ecdh_curves,
        bool(written.insecure_skip_verify),
    )


def _version(word: str) -> str:
    return "" if word == "TLS_AUTO" else word


def _known(suites: Iterable[str]) -> Iterable[str]:
    """Each once; what begins with a sign is an operator (`-ALL`, `[A|B]`) and stays."""
    return dict.fromkeys(
        [suite for suite in suites if suite in ("", "ALL") or not suite[0].isalnum() or suite in _CIPHER_SUITES]
    )
