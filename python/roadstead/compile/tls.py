"""TLS that the mesh speaks to a cluster's endpoints (Istio: core/cluster_tls.go, BestEffortInferServiceMTLSMode)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from roadstead.compile.inputs import RuleView, Scope
from roadstead.config import ClientTLSSettings, Resource, ServiceEntry, TLSConfig
from roadstead.mesh import Endpoint, Port, Service, TlsOrigination, sni_name
from roadstead.mesh.cluster import UpstreamProtocol

_WORKLOAD = re.compile(r"spiffe://[^/]*/(ns/[^/]*/sa/[^/]*)")
_HTTP2 = ("h2",)
# By these the other side knows a client of the mesh (Istio: ALPNInMesh, ALPNInMeshH2).
_MESH_ALPN = ("istio-peer-exchange", "istio")

Accounts = Callable[[], tuple[str, ...]]
"""Identities that may stand behind a service, sorted; a call, because most clusters never need them."""


def rule_tls(
    settings: ClientTLSSettings,
    service: Service,
    port: Port,
    subset: str,
    protocol: UpstreamProtocol,
    accounts: Accounts,
    secrets: bool,
    defaults: TLSConfig | None = None,
    own: ClientTLSSettings | None = None,
) -> TlsOrigination | None:
    """What a rule's `tls` means for one cluster; None: plain text.

    secrets: credential_name can be fetched. A client that cannot (a sidecar, unless the rule is chosen by a
    workloadSelector) sends plain text, as Istio has it; so does MUTUAL without both of its files. defaults: the mesh's
    tlsDefaults, of which clients heed the cipher suites and curves. own: certificates that the client has in files of
    its own: in the mesh they stand for whatever a rule says of mutual TLS.
    """
    mode = settings.mode
    if mode == "DISABLE":
        return None
    if own is not None and mode != "SIMPLE" and not service.mesh_external:
        return _written_tls(
            _with_files(own, settings), protocol, accounts, secrets, defaults, dynamic=service.is_dynamic
        )
    skip = bool(settings.insecure_skip_verify)
    if mode == "ISTIO_MUTUAL":
        names = settings.subject_alt_names or accounts()
        if service.is_dynamic:
            return _dynamic_workload_tls("ISTIO_MUTUAL", settings.sni, names, protocol, skip=skip)
        return _workload_tls("ISTIO_MUTUAL", settings.sni or _name(service, port, subset), names, protocol)
    return _written_tls(settings, protocol, accounts, secrets, defaults, dynamic=service.is_dynamic)


def unknown_tls(settings: ClientTLSSettings | None, defaults: TLSConfig | None) -> TlsOrigination | None:
    """What is spoken to hosts that nobody declared and that are looked up by name (outboundTrafficPolicy.tls)."""
    if settings is None or settings.mode == "DISABLE":
        return None
    if settings.mode == "ISTIO_MUTUAL":
        skip = bool(settings.insecure_skip_verify)
        return _dynamic_workload_tls("ISTIO_MUTUAL", settings.sni, settings.subject_alt_names, "downstream", skip=skip)
    return _written_tls(settings, "downstream", lambda: (), False, defaults, dynamic=True)


def _written_tls(
    settings: ClientTLSSettings,
    protocol: UpstreamProtocol,
    accounts: Accounts,
    secrets: bool,
    defaults: TLSConfig | None,
    *,
    dynamic: bool,
) -> TlsOrigination | None:
    """SIMPLE and MUTUAL. dynamic: the peer is known when the request is."""
    mode = settings.mode
    assert mode in ("SIMPLE", "MUTUAL")
    if settings.credential_name:
        if not (secrets or _from_config_map(settings)):
            return None
    elif mode == "MUTUAL" and not (settings.client_certificate and settings.private_key):
        return None
    skip = bool(settings.insecure_skip_verify)
    auto_sni = not settings.sni
    names = settings.subject_alt_names
    verify: Literal["", "san", "auto", "ca"]
    if skip:
        verify = ""
    elif dynamic:
        verify = "auto"
        names = names or accounts()
    elif names:
        verify = "san"
    else:
        verify = "auto" if auto_sni else "ca"
        # Names of the entry are checked too; but whether the host is checked was decided by the rule alone.
        names = accounts()
        if names and verify == "ca":
            verify = "san"
    return TlsOrigination(
        mode,
        settings.sni,
        names,
        "" if skip else settings.ca_certificates,
        settings.ca_crl,
        settings.client_certificate if mode == "MUTUAL" else "",
        settings.private_key if mode == "MUTUAL" else "",
        settings.credential_name,
        auto_sni,
        verify,
        _HTTP2 if protocol == "http2" else (),
        () if defaults is None else defaults.cipher_suites,
        () if defaults is None else defaults.ecdh_curves,
    )


def automatic_tls(
    scope: Scope,
    service: Service,
    port: Port,
    subset: str,
    protocol: UpstreamProtocol,
    accounts: Accounts,
    endpoints: Sequence[Endpoint] | None,
    per_endpoint: bool,
) -> TlsOrigination | None:
    """Mutual TLS without a rule: with workloads of the mesh, unless they are told not to speak it.

    endpoints: those behind a service whose connections go where their caller dialled (None for any other): one without
    TLS among them, or nobody at all, means none. per_endpoint: each endpoint's tls_mode decides, else all are alike.
    """
    if service.mesh_external or scope.env.mesh.enable_auto_mtls is False:
        return None
    if endpoints is not None and (not endpoints or any(endpoint.tls_mode == "disabled" for endpoint in endpoints)):
        return None
    if scope.peer_authentication(service.namespace).refused:
        return None
    own = scope.env.certificates
    if own is not None:
        settings = msgspec.structs.replace(own, subject_alt_names=accounts(), sni=_name(service, port, subset))
        defaults = scope.env.mesh.tls_defaults
        return _written_tls(settings, protocol, accounts, False, defaults, dynamic=service.is_dynamic)
    mode: Literal["AUTO", "ISTIO_MUTUAL"] = "AUTO" if per_endpoint else "ISTIO_MUTUAL"
    if service.is_dynamic:
        return _dynamic_workload_tls(mode, "", accounts(), protocol)
    return _workload_tls(mode, _name(service, port, subset), accounts(), protocol)


def _with_files(own: ClientTLSSettings, settings: ClientTLSSettings) -> ClientTLSSettings:
    return msgspec.structs.replace(
        own,
        subject_alt_names=settings.subject_alt_names,
        sni=settings.sni,
        insecure_skip_verify=settings.insecure_skip_verify,
    )


def identities(
    entries: Sequence[Resource[ServiceEntry]], workloads: set[str], domains: Sequence[str]
) -> tuple[str, ...]:
    """Identities behind a host, sorted: its workloads', and the names its newest entry lists; the names of older
    entries are forgotten, even for a newest that lists none. domains: aliases of the mesh's trust domain; whatever
    has the form of a workload's identity stands for the same workload in each of them."""
    names = workloads | set(entries[-1].spec.subject_alt_names)
    for name in tuple(names) if domains else ():
        workload = _WORKLOAD.fullmatch(name)
        if workload is not None:
            names.update([f"spiffe://{domain}/{workload[1]}" for domain in domains])
    return tuple(sorted(names))


def may_use_secrets(scope: Scope, rule: RuleView | None) -> bool:
    """Whether credential_name can be used: by routers, and by clients that a rule selects by their labels."""
    if scope.env.node.type == "router":
        return True
    return rule is not None and rule.rules[0].spec.workload_selector is not None


def _name(service: Service, port: Port, subset: str) -> str:
    """By this the other side knows which of its clusters is meant."""
    return sni_name(port.number, subset, service.host)


def _workload_tls(
    mode: Literal["AUTO", "ISTIO_MUTUAL"], sni: str, names: tuple[str, ...], protocol: UpstreamProtocol
) -> TlsOrigination:
    return TlsOrigination(mode, sni, names, verify="san" if names else "ca", alpn=_mesh_alpn(protocol))


def _dynamic_workload_tls(
    mode: Literal["AUTO", "ISTIO_MUTUAL"],
    sni: str,
    names: tuple[str, ...],
    protocol: UpstreamProtocol,
    *,
    skip: bool = False,
) -> TlsOrigination:
    """The peer of a dynamic cluster is known when the request is: the host asked for is its SNI, if nothing else is
    written, and must be its name. skip: the host need not be its name; names and the mesh's CA hold all the same."""
    verify: Literal["san", "auto", "ca"] = "auto"
    if skip:
        verify = "san" if names else "ca"
    return TlsOrigination(mode, sni, names, auto_sni=not sni, verify=verify, alpn=_mesh_alpn(protocol))


def _mesh_alpn(protocol: UpstreamProtocol) -> tuple[str, ...]:
    return (*_MESH_ALPN, *_HTTP2) if protocol == "http2" else _MESH_ALPN


def _from_config_map(settings: ClientTLSSettings) -> bool:
    return settings.credential_name.startswith("configmap://")
