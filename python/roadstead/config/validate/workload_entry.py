"""WorkloadEntry, as a kind and as an endpoint."""

from __future__ import annotations

from roadstead.config.validate.fields import Rule, Rules
from roadstead.config.validate.predicates import at_most, fqdn, is_ip, label, label_map, port, unix_path
from roadstead.config.validate.report import Path, Report
from roadstead.config.workload_entry import WorkloadEntry


def _port_name(name: str) -> str:
    """The schema stops one short of a DNS label."""
    return "63 characters, one too many" if len(name) == 63 else ""


def _abstract_socket(address: str) -> str:
    return f"{address!r} ends in /" if address.startswith("unix://@") and address.endswith("/") else ""


FIELDS: Rules = {
    WorkloadEntry: (
        Rule("K-SE-11", "address", at_most(256)),
        Rule("K-SE-11", "labels", at_most(256)),
        Rule("K-SE-11", "network", at_most(2048)),
        Rule("K-SE-11", "locality", at_most(2048)),
        Rule("K-SE-11", "service_account", at_most(253)),
        Rule("K-SE-13", "address", _abstract_socket),
        Rule("K-SE-14", "ports", at_most(128)),
        Rule("K-SE-14", "ports", _port_name, on="keys"),
    ),
}


def rules(entry: WorkloadEntry, report: Report) -> None:
    check_address(entry, (), report, names=True)
    if entry.ports:
        check_ports(entry, None, (), report)
    if entry.labels and (complaint := label_map(entry.labels)):
        report.error("WE-9", ("labels",), complaint)


def check_address(entry: WorkloadEntry, path: Path, report: Report, *, names: bool, code: str = "WE-5") -> None:
    """names: whether a host name will do."""
    address = entry.address
    if not address:
        if entry.network:
            report.warning("WE-2", (*path, "network"), "a network without an address")
        else:
            report.error("WE-1", (*path, "address"), "an address is needed")
    elif address.startswith("unix://"):
        check_socket(entry, path, report)
    elif not is_ip(address):
        complaint = fqdn(address) if names else f"{address!r} is not an IP address"
        if complaint:
            report.error(code, (*path, "address"), complaint)


def check_socket(entry: WorkloadEntry, path: Path, report: Report) -> None:
    """A unix socket, where the address is one."""
    if not entry.address.startswith("unix://"):
        return
    if complaint := unix_path(entry.address):
        report.error("WE-3", (*path, "address"), complaint)
    if entry.ports:
        report.error("WE-4", (*path, "ports"), "a unix socket has no ports")


def check_ports(entry: WorkloadEntry, declared: set[str] | None, path: Path, report: Report) -> None:
    """declared: names of the service's ports, None where they are not known."""
    for name, number in entry.ports.items():
        if declared is not None and name not in declared:
            report.error("WE-6", (*path, "ports", name), f"the ServiceEntry has no port named {name!r}")
        if complaint := label(name):
            report.error("WE-7", (*path, "ports", name), complaint)
        if complaint := port(number):
            report.error("WE-8", (*path, "ports", name), complaint)
