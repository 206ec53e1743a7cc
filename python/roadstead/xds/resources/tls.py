"""TLS as transport sockets (Istio: core/cluster_tls.go, pilot/pkg/security/model)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from roadstead.mesh import ServerTls, TlsOrigination
from roadstead.xds.messages import core, listener
from roadstead.xds.messages.cluster import TRANSPORT_SOCKET_MATCH
from roadstead.xds.schema import Message, Value

TLS_SOCKET = "envoy.transport_sockets.tls"
RAW_SOCKET = "envoy.transport_sockets.raw_buffer"
PROXY_SOCKET = "envoy.transport_sockets.upstream_proxy_protocol"
_CA_SUFFIX = "-cacert"


@lru_cache(maxsize=1)
def ads() -> Message:
    """Ask the control plane itself, over the stream that is there."""
    return core.CONFIG_SOURCE.shared(ads=core.AGGREGATED_CONFIG_SOURCE(), resource_api_version="V3")


@lru_cache(maxsize=1)
def ads_in_time() -> Message:
    """The same, and wait for the answer."""
    return core.CONFIG_SOURCE.shared(
        ads=core.AGGREGATED_CONFIG_SOURCE(), initial_fetch_timeout=0.0, resource_api_version="V3"
    )


@lru_cache(maxsize=2)
def _agent(in_time: bool) -> Message:
    """Ask the agent beside the proxy: it has the workload's certificate, and reads files."""
    service = core.GRPC_SERVICE(envoy_grpc=core.ENVOY_GRPC(cluster_name="sds-grpc"))
    source = core.API_CONFIG_SOURCE(
        api_type="GRPC", grpc_services=[service], set_node_on_first_message_only=True, transport_api_version="V3"
    )
    return core.CONFIG_SOURCE.shared(
        api_config_source=source,
        initial_fetch_timeout=0.0 if in_time else None,
        resource_api_version="V3",
    )


@lru_cache(maxsize=4096)
def _secret(name: str) -> Message:
    """A secret by Istio's name for it, and who has it."""
    if name.startswith(("kubernetes://", "configmap://")):
        return listener.SDS_SECRET.shared(name=name, sds_config=ads())
    return listener.SDS_SECRET.shared(name=name, sds_config=_agent(name in ("default", "ROOTCA")))


def _credential(name: str) -> str:
    return name if "://" in name else f"kubernetes://{name}"


def _files(certificate: str, key: str) -> str:
    return f"file-cert:{certificate}~{key}"


@lru_cache(maxsize=4096)
def _names(names: tuple[str, ...]) -> tuple[Message, ...]:
    return tuple([core.STRING_MATCHER.shared(exact=name) for name in names])


@lru_cache(maxsize=16)
def _parameters(cipher_suites: tuple[str, ...] = (), curves: tuple[str, ...] = ()) -> Message:
    return listener.TLS_PARAMETERS.shared(
        tls_minimum_protocol_version="TLSv1_2",
        tls_maximum_protocol_version="TLSv1_3",
        cipher_suites=cipher_suites,
        ecdh_curves=curves,
    )


@lru_cache(maxsize=2)
def raw_socket(proxied: str = "") -> Message:
    """Plain text; proxied: version of the PROXY protocol that goes before it."""
    raw = core.TRANSPORT_SOCKET.shared(name=RAW_SOCKET, typed_config=listener.RAW_BUFFER.shared())
    return proxied_socket(raw, proxied) if proxied else raw


def proxied_socket(socket: Message, version: str) -> Message:
    """A socket that first says whose connection it is."""
    config = core.PROXY_PROTOCOL_CONFIG(version=version)
    inner = listener.PROXY_PROTOCOL(config=config, transport_socket=socket)
    return core.TRANSPORT_SOCKET(name=PROXY_SOCKET, typed_config=inner)


def upstream_socket(tls: TlsOrigination) -> Message:
    """What is spoken to a cluster's endpoints."""
    common = (
        _mesh_common(tls.subject_alt_names, tls.alpn) if tls.mode in ("ISTIO_MUTUAL", "AUTO") else _written_context(tls)
    )
    context = listener.UPSTREAM_TLS(common_tls_context=common, sni=tls.sni)
    return core.TRANSPORT_SOCKET(name=TLS_SOCKET, typed_config=context)


@lru_cache(maxsize=4096)
def _mesh_common(names: tuple[str, ...], alpn: tuple[str, ...]) -> Message:
    return listener.COMMON_TLS.shared(
        tls_params=_parameters(),
        alpn_protocols=alpn,
        tls_certificate_sds_secret_configs=(_secret("default"),),
        combined_validation_context=listener.COMBINED_VALIDATION(
            default_validation_context=listener.VALIDATION_CONTEXT(match_subject_alt_names=_names(names)),
            validation_context_sds_secret_config=_secret("ROOTCA"),
        ),
    )


@lru_cache(maxsize=4096)
def _written_common(tls: TlsOrigination) -> Message:
    certificates: tuple[Message, ...] = ()
    if tls.credential_name:
        if tls.mode == "MUTUAL":
            certificates = (_secret(_credential(tls.credential_name)),)
        ca = _credential(tls.credential_name) + _CA_SUFFIX
    else:
        if tls.certificate:
            certificates = (_secret(_files(tls.certificate, tls.private_key)),)
        ca = f"file-root:{tls.ca or 'system'}"
    values: dict[str, Value] = {
        "tls_params": _parameters(tls.cipher_suites, tls.curves),
        "alpn_protocols": tls.alpn,
        "tls_certificate_sds_secret_configs": certificates,
    }
    if not tls.verify:
        unchecked = None if tls.credential_name else listener.VALIDATION_CONTEXT()
        return listener.COMMON_TLS.shared(**values, validation_context=unchecked)
    crl = core.DATA_SOURCE(filename=tls.ca_crl) if tls.ca_crl else None
    default = listener.VALIDATION_CONTEXT(match_subject_alt_names=_names(tls.subject_alt_names), crl=crl)
    combined = listener.COMBINED_VALIDATION(
        default_validation_context=default, validation_context_sds_secret_config=_secret(ca)
    )
    return listener.COMMON_TLS.shared(**values, combined_validation_context=combined)


def _written_context(tls: TlsOrigination) -> Message:
    return _written_common(TlsOrigination(
        tls.mode, "", tls.subject_alt_names, tls.ca, tls.ca_crl, tls.certificate, tls.private_key, tls.credential_name,
        tls.auto_sni, tls.verify, tls.alpn, tls.cipher_suites, tls.curves,
    ))  # fmt: skip


def per_endpoint_sockets(tls: TlsOrigination, proxied: str) -> tuple[Message, Message]:
    """Automatic mTLS: endpoints that say so speak TLS, the others plain text."""
    socket = upstream_socket(tls)
    if proxied:
        socket = proxied_socket(socket, proxied)
    spoken = TRANSPORT_SOCKET_MATCH(name="tlsMode-istio", match={"tlsMode": "istio"}, transport_socket=socket)
    return spoken, _plain_match(proxied)


@lru_cache(maxsize=4)
def _plain_match(proxied: str) -> Message:
    return TRANSPORT_SOCKET_MATCH.shared(name="tlsMode-disabled", match={}, transport_socket=raw_socket(proxied))


# Routers


def downstream_socket(tls: ServerTls, alpn: Sequence[str]) -> Message:
    """TLS that a router ends."""
    common = listener.COMMON_TLS(
        tls_params=_server_parameters(tls),
        alpn_protocols=tuple(alpn),
        tls_certificate_sds_secret_configs=tuple([_secret(name) for name in _server_secrets(tls)]),
        **_client_check(tls),
    )
    required = tls.mode in ("MUTUAL", "ISTIO_MUTUAL")
    context = listener.DOWNSTREAM_TLS(common_tls_context=common, require_client_certificate=required)
    return core.TRANSPORT_SOCKET(name=TLS_SOCKET, typed_config=context)


def _client_check(tls: ServerTls) -> dict[str, Value]:
    """What a client's certificate must be like."""
    if tls.mode != "SIMPLE":
        default = listener.VALIDATION_CONTEXT(
            match_subject_alt_names=_names(tls.subject_alt_names),
            verify_certificate_spki=tls.certificate_spki,
            verify_certificate_hash=tls.certificate_hash,
            crl=core.DATA_SOURCE(filename=tls.ca_crl) if tls.ca_crl else None,
            trust_chain_verification="ACCEPT_UNTRUSTED" if tls.accepts_untrusted else None,
        )
        ca = _secret(_server_ca(tls))
        combined = listener.COMBINED_VALIDATION(
            default_validation_context=default, validation_context_sds_secret_config=ca
        )
        return {"combined_validation_context": combined}
    if tls.credentials and tls.subject_alt_names:
        names = _names(tls.subject_alt_names)
        return {"validation_context": listener.VALIDATION_CONTEXT(match_subject_alt_names=names)}
    return {}


def _server_secrets(tls: ServerTls) -> list[str]:
    if tls.mode == "ISTIO_MUTUAL":
        return ["default"]
    if tls.credentials:
        return [_credential(name) for name in tls.credentials]
    return [_files(certificate, key) for certificate, key in tls.certificates]


def _server_ca(tls: ServerTls) -> str:
    if tls.credentials:
        return _credential(tls.ca_credential)
    return "ROOTCA" if tls.mode == "ISTIO_MUTUAL" or not tls.ca else f"file-root:{tls.ca}"


def _server_parameters(tls: ServerTls) -> Message | None:
    if not (tls.min_version or tls.max_version or tls.cipher_suites or tls.curves):
        return None
    return listener.TLS_PARAMETERS(
        tls_minimum_protocol_version=_version(tls.min_version),
        tls_maximum_protocol_version=_version(tls.max_version),
        cipher_suites=tls.cipher_suites,
        ecdh_curves=tls.curves,
    )


def _version(word: str) -> str | None:
    """TLSV1_2 -> TLSv1_2."""
    return word.replace("TLSV", "TLSv") if word else None
