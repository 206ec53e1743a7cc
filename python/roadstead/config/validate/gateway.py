"""Gateway."""

from __future__ import annotations

from roadstead.config.gateway import Gateway, Port, Server, ServerTLSSettings
from roadstead.config.validate.fields import Rule, Rules, written
from roadstead.config.validate.metadata import GATEWAY_API
from roadstead.config.validate.predicates import (
    ip,
    ip_or_domain,
    label,
    partial_wildcard,
    port,
    protocol,
    required,
    unix_path,
)
from roadstead.config.validate.report import Path, Report
from roadstead.protocol import Protocol

_PASSTHROUGH = ("PASSTHROUGH", "AUTO_PASSTHROUGH")


def _no_target(number: int) -> str:
    return "has no effect on gateways" if number else ""


FIELDS: Rules = {
    Gateway: (Rule("GW-2", "servers", required),),
    Server: (
        Rule("GW-5", "hosts", required),
        Rule("GW-12", "port", required, always=True),
    ),
    Port: (
        Rule("GW-13", "protocol", protocol),
        Rule("GW-15", "target_port", _no_target),
        Rule("GW-16", "name", required),
    ),
}


def rules(gateway: Gateway, report: Report) -> None:
    names: set[str] = set()
    for index, server in enumerate(gateway.servers):
        at: Path = ("servers", index)
        for number, host in enumerate(server.hosts):
            _host(host, (*at, "hosts", number), report)
        if server.port is not None:
            _port(server, server.port, at, report)
            if server.port.name in names:
                report.error("GW-3", (*at, "port", "name"), f"the name {server.port.name!r} is taken")
            names.add(server.port.name)
        if server.tls is not None:
            check_tls(server.tls, (*at, "tls"), report)


def _host(text: str, path: Path, report: Report) -> None:
    owner, slash, host = text.rpartition("/")
    if slash and (not owner or not host):
        report.error("GW-7", path, "namespace and name are both needed")
        return
    # "~": nobody's, which Istio itself writes for a listener of the Gateway API.
    owners = ("*", ".", "~") if report.annotations.get(GATEWAY_API) == "gateway" else ("*", ".")
    if slash and owner not in owners and (complaint := label(owner)):
        report.error("GW-8", path, complaint)
    if host == "*":
        return
    if "." not in host:
        report.error("GW-9", path, f"the short name {host!r} is not allowed", "write it in full")
    elif complaint := ip_or_domain(host):
        report.error("GW-10", path, complaint)
    elif partial_wildcard(host):
        report.error("GW-11", path, f"partial wildcard {host!r}")


def _port(server: Server, where: Port, at: Path, report: Report) -> None:
    if server.bind.startswith("unix://"):
        if where.number or unix_path(server.bind):
            report.error("GW-17", (*at, "bind"), "a unix socket: an absolute path, and port number 0")
    else:
        if complaint := port(where.number):
            report.error("GW-14", (*at, "port", "number"), complaint)
        if server.bind and (complaint := ip(server.bind)):
            report.error("GW-18", (*at, "bind"), complaint)
    spoken = Protocol(where.protocol)
    tls = server.tls
    if spoken.is_tls:
        if tls is None:
            report.error("GW-31", (*at, "tls"), f"{spoken} needs tls")
    elif tls is not None and spoken.is_http:
        if tls.mode not in _PASSTHROUGH or tls.ca_certificates or tls.private_key or tls.server_certificate:
            report.error("GW-32", (*at, "tls"), f"{spoken} takes tls for httpsRedirect only")
    elif tls is not None:
        report.error("GW-33", (*at, "tls"), f"{spoken or 'this protocol'} takes no tls")


def check_tls(tls: ServerTLSSettings, path: Path, report: Report) -> None:
    """Also for the listeners of a Sidecar."""
    for name in ("credential_names", "tls_certificates"):
        if len(getattr(tls, name)) > 2:
            report.error("K-GW-3", path, f"at most two {name}")
    sources = [
        name
        for name, given in (
            ("credentialName", tls.credential_name),
            ("credentialNames", tls.credential_names),
            ("tlsCertificates", tls.tls_certificates),
            ("serverCertificate", tls.server_certificate and tls.private_key),
        )
        if given
    ]
    if tls.mode == "ISTIO_MUTUAL":
        for name in (
            "server_certificate",
            "private_key",
            "ca_certificates",
            "tls_certificates",
            "credential_name",
            "credential_names",
        ):
            if getattr(tls, name):
                report.error("GW-22", path, f"{written(tls, name)} does not go with ISTIO_MUTUAL")
        return
    if len(sources) > 1:
        report.error("GW-24", path, f"only one of {', '.join(sources)} may be given")
    if tls.mode in _PASSTHROUGH:
        if tls.ca_crl and (tls.credential_name or tls.credential_names):
            report.error("GW-29", (*path, "caCrl"), "does not go with credentialName")
        return
    if tls.credential_name or tls.credential_names:
        return
    if tls.mode in ("MUTUAL", "OPTIONAL_MUTUAL") and not tls.ca_certificates:
        report.error("GW-26", (*path, "caCertificates"), f"is required for {tls.mode}")
    certificates = tls.tls_certificates or (tls,)
    for certificate in certificates:
        if not certificate.server_certificate:
            report.error("GW-28", path, "serverCertificate is required")
        if not certificate.private_key:
            report.error("GW-28", path, "privateKey is required")
    if tls.ca_crl and tls.mode == "SIMPLE":
        report.error("GW-30", (*path, "caCrl"), "does not go with SIMPLE")
