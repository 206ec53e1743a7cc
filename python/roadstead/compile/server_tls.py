"""TLS that a router ends (Istio: core/gateway.go buildGatewayListenerTLSContext)."""

from __future__ import annotations

from roadstead.config.gateway import ServerTLSSettings
from roadstead.mesh import ServerTls

_CA_SUFFIX = "-cacert"


def server_tls(written: ServerTLSSettings) -> ServerTls | None:
    """None for TLS that passes through unopened."""
    mode = written.mode
    match mode:
        case "PASSTHROUGH" | "AUTO_PASSTHROUGH":
            return None
    credentials = written.credential_names or ((written.credential_name,) if written.credential_name else ())
    # The mesh's own TLS is what the mesh has it to be, whatever is written.
    own = mode == "ISTIO_MUTUAL"
    files = tuple([(pair.server_certificate, pair.private_key) for pair in written.tls_certificates])
    if not files and written.server_certificate:
        files = ((written.server_certificate, written.private_key),)
    return ServerTls(
        mode,
        credentials,
        written.ca_cert_credential_name or (credentials[0] + _CA_SUFFIX if credentials else ""),
        files,
        written.ca_certificates,
        written.ca_crl,
        written.subject_alt_names,
        written.verify_certificate_spki,
        written.verify_certificate_hash,
        "" if own else _version(written.min_protocol_version),
        "" if own else _version(written.max_protocol_version),
        () if own else written.cipher_suites,
        () if own else written.ecdh_curves,
    )


def _version(word: str) -> str:
    return "" if word == "TLS_AUTO" else word
