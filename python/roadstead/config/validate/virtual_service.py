"""VirtualService. The kinds of HTTP rules: of a delegate (no hosts), of a root (`delegate` set),
independent."""

from __future__ import annotations

from roadstead.config.validate import exports, http
from roadstead.config.validate.destination import check_destination
from roadstead.config.validate.fields import Rule, Rules
from roadstead.config.validate.predicates import (
    fqdn,
    ip_or_domain,
    is_ip,
    label,
    label_map,
    optional_port,
    own_sni,
    required,
    subnet,
)
from roadstead.config.validate.report import Path, Report
from roadstead.config.virtual_service import (
    L4MatchAttributes,
    RouteDestination,
    TCPRoute,
    TLSMatchAttributes,
    TLSRoute,
    VirtualService,
)
from roadstead.host import matches, subset_of

_GATEWAY_API = "internal.istio.io/route-semantics"

FIELDS: Rules = {
    TLSRoute: (Rule("VS-90", "match", required), Rule("VS-99", "route", required)),
    TCPRoute: (Rule("VS-99", "route", required),),
    TLSMatchAttributes: (
        Rule("VS-91", "sni_hosts", required),
        Rule("VS-95", "destination_subnets", subnet, on="each"),
        Rule("VS-96", "port", optional_port),
        Rule("VS-97", "source_labels", label_map),
    ),
    L4MatchAttributes: (
        Rule("VS-95", "destination_subnets", subnet, on="each"),
        Rule("VS-96", "port", optional_port),
        Rule("VS-97", "source_labels", label_map),
    ),
    **http.FIELDS,
}


def rules(service: VirtualService, report: Report) -> None:
    in_mesh = not service.gateways or "mesh" in service.gateways
    gateway_api = report.annotations.get(_GATEWAY_API) == "gateway"
    if service.hosts:
        _hosts(service, in_mesh, report)
        check_gateways(service.gateways, ("gateways",), report, gateway_api=gateway_api)
    else:
        for code, name in (("VS-1", "gateways"), ("VS-2", "tls"), ("VS-3", "tcp")):
            if getattr(service, name):
                report.error(code, (name,), f"a VirtualService without hosts is a delegate and has no {name}")
    if not (service.http or service.tls or service.tcp):
        report.error("VS-13", (), "one of http, tls, tcp is needed")
    for index, rule in enumerate(service.http):
        at: Path = ("http", index)
        http.rules(rule, at, report, delegate=not service.hosts, in_mesh=in_mesh, destinations=not gateway_api)
        for number, match in enumerate(rule.match):
            check_gateways(match.gateways, (*at, "match", number, "gateways"), report, gateway_api=gateway_api)
    for index, tls in enumerate(service.tls):
        for number, sni in enumerate(tls.match):
            _sni(sni, service, ("tls", index, "match", number), report, in_mesh)
            check_gateways(sni.gateways, ("tls", index, "match", number, "gateways"), report, gateway_api=gateway_api)
        _destinations(tls.route, ("tls", index, "route"), report)
    for index, tcp in enumerate(service.tcp):
        for number, l4 in enumerate(tcp.match):
            check_gateways(l4.gateways, ("tcp", index, "match", number, "gateways"), report, gateway_api=gateway_api)
        _destinations(tcp.route, ("tcp", index, "route"), report)
    exports.rules(service.export_to, ("exportTo",), report)


def _hosts(service: VirtualService, in_mesh: bool, report: Report) -> None:
    by_sni = not in_mesh and any(match.sni_hosts for tls in service.tls for match in tls.match)
    valid = True
    for index, host in enumerate(service.hosts):
        if host == "*" and in_mesh:
            report.error("VS-11", ("hosts", index), "the full wildcard is for gateways only")
        elif complaint := (own_sni if by_sni and host.startswith("outbound_") else ip_or_domain)(host):
            report.error("VS-10", ("hosts", index), complaint)
            valid = False
    if not valid:
        return
    for index, host in enumerate(service.hosts):
        for earlier in service.hosts[:index]:
            if matches(host, earlier):
                report.error("VS-12", ("hosts", index), f"{host!r} and {earlier!r} overlap")
                break


def check_gateways(names: tuple[str, ...], path: Path, report: Report, *, gateway_api: bool) -> None:
    """As Istio does, only up to the first name without a namespace: what follows it is taken as it is."""
    for index, name in enumerate(names):
        owner, slash, gateway = name.partition("/")
        if not slash:
            if "." in name:
                report.warning("VS-4", (*path, index), f"the old form {name!r}", "write namespace/name")
            if complaint := fqdn(name):
                report.error("VS-5", (*path, index), complaint)
            return
        if not owner or not gateway:
            report.error("VS-6", (*path, index), "namespace and name are both needed")
        elif complaint := label(owner):
            report.error("VS-7", (*path, index), complaint)
        elif not gateway_api and (complaint := label(gateway)):
            report.error("VS-8", (*path, index), complaint)


def _sni(match: TLSMatchAttributes, service: VirtualService, path: Path, report: Report, in_mesh: bool) -> None:
    """in_mesh: names of the mesh's own are for gateways only."""
    for index, name in enumerate(match.sni_hosts):
        at = (*path, "sniHosts", index)
        if is_ip(name):
            report.warning("VS-92", at, f"an IP address as the server name: {name!r}")
        elif complaint := (own_sni if name.startswith("outbound_") and not in_mesh else ip_or_domain)(name):
            report.error("VS-93", at, complaint)
        elif not any(subset_of(name, host) for host in service.hosts):
            report.error("VS-94", at, f"{name!r} is not within any of the hosts")


def _destinations(route: tuple[RouteDestination, ...], path: Path, report: Report) -> None:
    for index, item in enumerate(route):
        check_destination(item.destination, (*path, index, "destination"), report)
    http.check_weights([item.weight for item in route], path, report)


__all__ = ["FIELDS", "check_gateways", "rules"]
