"""ServiceEntry."""

from __future__ import annotations

from roadstead.config.dialect import (
    PRIORITIES,
    PRIORITY_LABEL,
    REGION_LABEL,
    ZONE_LABEL,
    is_range,
    resolution_of,
    tells_hosts_apart,
)
from roadstead.config.message import WorkloadSelector
from roadstead.config.service_entry import ServiceEntry, ServicePort
from roadstead.config.validate import exports
from roadstead.config.validate.fields import Rule, Rules
from roadstead.config.validate.predicates import (
    at_most,
    fqdn,
    is_ip,
    label,
    label_map,
    optional_port,
    optional_protocol,
    partial_wildcard,
    port,
    required,
    selector,
    short_values,
    subnet,
    wild_domain,
)
from roadstead.config.validate.report import Path, Report
from roadstead.config.validate.workload_entry import check_address, check_ports
from roadstead.config.workload_entry import WorkloadEntry
from roadstead.locality import of_endpoint
from roadstead.protocol import Protocol

_DYNAMIC_PROTOCOLS = ("HTTP", "HTTP2", "GRPC", "TLS")
_WAYPOINT_LABEL = "istio.io/use-waypoint"


FIELDS: Rules = {
    ServiceEntry: (
        Rule("SE-5", "hosts", required),
        Rule("SE-7", "hosts", wild_domain, on="each"),
        Rule("SE-9", "addresses", subnet, on="each"),
        Rule("K-SE-7", "hosts", at_most(256)),
        Rule("K-SE-6", "addresses", at_most(256)),
        Rule("K-SE-6", "addresses", at_most(64), on="each"),
        Rule("K-SE-9", "ports", at_most(256)),
        Rule("K-SE-12", "endpoints", at_most(4096)),
    ),
    ServicePort: (
        Rule("SE-15", "name", label),
        Rule("SE-17", "number", port),
        Rule("SE-14", "target_port", optional_port),
        Rule("SE-16", "protocol", optional_protocol),
        Rule("K-SE-9", "name", at_most(256)),
    ),
    WorkloadSelector: (
        Rule("SE-2", "labels", selector),
        Rule("K-SE-15", "labels", at_most(256)),
        Rule("K-SE-15", "labels", short_values),
    ),
}


def rules(entry: ServiceEntry, report: Report) -> None:
    resolution = resolution_of(entry, "extended" if report.extended else "istio")
    if entry.resolution is None and resolution != "NONE":
        report.extension("EXT-8", ("resolution",))
    _hosts(entry, resolution, report)
    _ports(entry, report)
    if resolution not in ("NONE", "STATIC") and any(is_range(address) for address in entry.addresses):
        report.error("SE-10", ("addresses",), "ranges are for NONE and STATIC only")
    if entry.workload_selector is not None:
        if entry.endpoints:
            if report.extended:
                report.extension("EXT-2", ("workloadSelector",))
            else:
                report.error("SE-4", ("workloadSelector",), "endpoints and workloadSelector exclude each other")
        if not entry.workload_selector.labels:
            report.warning(
                "SE-3", ("workloadSelector",), "a selector without labels takes every workload of the namespace"
            )
    if entry.endpoints:
        _endpoints(entry, resolution, report)
    if resolution == "DYNAMIC_DNS":
        _dynamic(entry, report)
    exports.rules(entry.export_to, ("exportTo",), report, nobody=True)


def _hosts(entry: ServiceEntry, resolution: str, report: Report) -> None:
    for index, host in enumerate(entry.hosts):
        if host == "*":
            report.error("SE-6", ("hosts", index), "the full wildcard is not allowed")
        elif resolution == "DYNAMIC_DNS":
            if not host.startswith("*"):
                report.error("SE-32", ("hosts", index), f"{host!r} is not a wildcard, as DYNAMIC_DNS needs")
        elif partial_wildcard(host):
            report.warning("SE-8", ("hosts", index), f"partial wildcard {host!r}")
    if resolution in ("DNS", "DNS_ROUND_ROBIN") and not entry.endpoints:
        for index, host in enumerate(entry.hosts):
            if host != "*" and (complaint := fqdn(host)):
                report.error(
                    "SE-23", ("hosts", index), f"{complaint}: {resolution} without endpoints needs plain names"
                )
                break
    if resolution != "NONE" and len(entry.hosts) > 1:
        for index, item in enumerate(entry.ports):
            if not tells_hosts_apart(item):
                report.error(
                    "SE-38", ("ports", index, "protocol"), "with several hosts only HTTP and TLS can tell them apart"
                )
                break


def _ports(entry: ServiceEntry, report: Report) -> None:
    if len(entry.ports) < 2:
        return
    names: set[str] = set()
    numbers: set[int] = set()
    for index, item in enumerate(entry.ports):
        if item.name in names:
            report.error("SE-11", ("ports", index, "name"), f"the name {item.name!r} is taken")
        if item.number in numbers:
            report.error("SE-12", ("ports", index, "number"), f"the number {item.number} is taken")
        names.add(item.name)
        numbers.add(item.number)


def _endpoints(entry: ServiceEntry, resolution: str, report: Report) -> None:
    if resolution == "NONE":
        report.error("SE-18", ("endpoints",), "NONE may not have endpoints")
    if resolution == "DNS_ROUND_ROBIN" and len(entry.endpoints) > 1:
        report.error("SE-24", ("endpoints",), "DNS_ROUND_ROBIN has one endpoint at most")
    named = False
    for index, endpoint in enumerate(entry.endpoints):
        at: Path = ("endpoints", index)
        if resolution == "STATIC":
            named = _static(entry, endpoint, at, report) or named
        elif resolution in ("DNS", "DNS_ROUND_ROBIN"):
            if not is_ip(endpoint.address) and (complaint := fqdn(endpoint.address)):
                report.error("SE-25", (*at, "address"), complaint)
        elif not endpoint.address and not endpoint.network:
            report.error("WE-1", (*at, "address"), "an address is needed")
        if endpoint.labels and (complaint := label_map(endpoint.labels)):
            report.error("SE-26" if resolution != "STATIC" else "WE-9", (*at, "labels"), complaint)
        if endpoint.ports:
            check_ports(endpoint, {item.name for item in entry.ports}, at, report)
    if named:
        report.extension("EXT-1", ("endpoints",))
    if report.extended:
        endpoint_labels(entry.endpoints, report)


def _static(entry: ServiceEntry, endpoint: WorkloadEntry, at: Path, report: Report) -> bool:
    """Whether the endpoint is a host name that the extended dialect lets pass."""
    if endpoint.address.startswith("unix://"):
        if len(entry.ports) != 1:
            report.error("SE-22", (*at, "address"), "a unix socket serves exactly one port")
    elif endpoint.address and not is_ip(endpoint.address) and report.extended and not fqdn(endpoint.address):
        return True
    check_address(endpoint, at, report, names=False, code="SE-21")
    return False


def endpoint_labels(endpoints: tuple[WorkloadEntry, ...], report: Report) -> None:
    """The rows of the extended dialect for labels of endpoints; each is said once."""
    said: set[str] = set()
    for index, endpoint in enumerate(endpoints):
        labels = endpoint.labels
        if (REGION_LABEL in labels or ZONE_LABEL in labels) and not of_endpoint(endpoint.locality, labels):
            if "EXT-6" not in said:
                report.extension("EXT-6", ("endpoints", index, "labels"))
            said.add("EXT-6")
        priority = labels.get(PRIORITY_LABEL)
        if priority is None:
            continue
        if priority not in PRIORITIES:
            report.error(
                "EXT-7",
                ("endpoints", index, "labels", PRIORITY_LABEL),
                f"unknown priority {priority!r}",
                f"one of {', '.join(PRIORITIES)}",
            )
        elif "EXT-7" not in said:
            report.extension("EXT-7", ("endpoints", index, "labels", PRIORITY_LABEL))
            said.add("EXT-7")


def _dynamic(entry: ServiceEntry, report: Report) -> None:
    if entry.addresses:
        report.error("SE-33", ("addresses",), "DYNAMIC_DNS may not have addresses")
    if entry.endpoints:
        report.error("SE-34", ("endpoints",), "DYNAMIC_DNS may not have endpoints")
    for index, item in enumerate(entry.ports):
        if item.protocol.upper() not in _DYNAMIC_PROTOCOLS:
            report.error(
                "SE-35", ("ports", index, "protocol"), f"DYNAMIC_DNS serves {', '.join(_DYNAMIC_PROTOCOLS)} only"
            )
        elif Protocol(item.protocol).is_http2:
            report.warning(
                "ENVOY-3",
                ("ports", index, "protocol"),
                "Envoy rejects the cluster of HTTP/2 to names that are looked up for each request, and answers 503 NC",
                "TLS by a DestinationRule (tls.mode SIMPLE), or protocol HTTP",
            )
    waypoint = report.labels.get(_WAYPOINT_LABEL, "")
    if entry.location == "MESH_INTERNAL" and waypoint and waypoint.lower() != "none":
        report.error("SE-40", ("resolution",), "DYNAMIC_DNS of MESH_INTERNAL does not go with a waypoint")
