"""The two dialects, and the one table of what the extended dialect means beyond Istio.

`istio`: exactly what Istio accepts and means. `extended`: what Istio accepts means the same; the rows below work too,
each with a warning that says what Istio would do.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from roadstead.config.destination_rule import TCPSettings, TrafficPolicy
from roadstead.config.service_entry import Resolution, ServiceEntry, ServicePort
from roadstead.protocol import Protocol

Dialect = Literal["istio", "extended"]

REGION_LABEL = "region"
ZONE_LABEL = "zone"
PRIORITY_LABEL = "priority"
PRIORITIES = {"high": 0, "medium": 1, "low": 2}
"""Words of the endpoint label `priority` → outer priority level."""


class Extension(msgspec.Struct, frozen=True):
    """One row. means: what it does here; istio: what Istio does with it."""

    code: str
    means: str
    istio: str


EXTENSIONS: dict[str, Extension] = {
    row.code: row
    for row in (
        Extension(
            "EXT-1", "STATIC endpoints with host names are resolved by DNS, each by itself", "refuses the ServiceEntry"
        ),
        Extension("EXT-2", "endpoints and selected workloads are served together", "refuses the ServiceEntry"),
        Extension("EXT-3", "healthCheck turns on active health checks", "does not know the field and ignores it"),
        Extension(
            "EXT-4",
            "circuitBreaker is outlierDetection, and a lone host may be ejected",
            "does not know the field and ignores it",
        ),
        Extension("EXT-5", "keepAlive is tcpKeepalive", "does not know the field and ignores it"),
        Extension(
            "EXT-6", "labels region and zone are the endpoint's locality", "reads locality only: the endpoint has none"
        ),
        Extension(
            "EXT-7", "label priority is the endpoint's priority (high, medium, low)", "gives the label no meaning"
        ),
        Extension("EXT-8", "resolution is DNS where it is left out and all hosts are plain names", "takes NONE"),
        Extension(
            "EXT-9", "http rules on an HTTPS port apply to requests this process makes itself", "never applies them"
        ),
        Extension(
            "EXT-11",
            "probe is run from here against WorkloadEntries of the group that no agent reports on",
            "leaves it to the workload's own agent: such an entry counts as well",
        ),
    )
}

EXTENDED_FIELDS: dict[tuple[type[msgspec.Struct], str], tuple[str, str]] = {
    (TrafficPolicy, "healthCheck"): ("EXT-3", ""),
    (TrafficPolicy, "circuitBreaker"): ("EXT-4", "outlierDetection"),
    (TCPSettings, "keepAlive"): ("EXT-5", "tcpKeepalive"),
}
"""(message, field that Istio does not know) → (row, Istio's field for it, "" without one)."""

EXTENDED_NAMES = tuple(f'"{name}"'.encode() for _, name in EXTENDED_FIELDS)
"""How those fields look in JSON: a document without any of these bytes has none of them."""


def resolution_of(entry: ServiceEntry, dialect: Dialect) -> Resolution:
    """The resolution in force (row EXT-8). What DNS does not go with leaves NONE: a range among the addresses, a host
    that is no plain name, several hosts on a port that cannot tell them apart."""
    if entry.resolution is not None:
        return entry.resolution
    if dialect == "istio" or any(host.startswith("*") for host in entry.hosts):
        return "NONE"
    if any(is_range(address) for address in entry.addresses):
        return "NONE"
    return "NONE" if len(entry.hosts) > 1 and not all(tells_hosts_apart(port) for port in entry.ports) else "DNS"


def tells_hosts_apart(port: ServicePort) -> bool:
    """Whether the name of the host stands in what is sent there."""
    protocol = Protocol(port.protocol)
    return protocol.is_http or protocol.is_tls


def is_range(address: str) -> bool:
    """Whether an address of a ServiceEntry is written as a range."""
    return "/" in address


__all__ = [
    "EXTENDED_FIELDS",
    "EXTENDED_NAMES",
    "EXTENSIONS",
    "PRIORITIES",
    "PRIORITY_LABEL",
    "REGION_LABEL",
    "ZONE_LABEL",
    "Dialect",
    "Extension",
    "is_range",
    "resolution_of",
    "tells_hosts_apart",
]
