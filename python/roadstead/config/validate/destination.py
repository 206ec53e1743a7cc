"""Destinations, wherever they stand."""

from __future__ import annotations

from roadstead.config.validate.predicates import optional_label, port, wild_domain
from roadstead.config.validate.report import Path, Report
from roadstead.config.virtual_service import Destination


def check_destination(destination: Destination | None, path: Path, report: Report, absent: str = "VS-77") -> None:
    """absent: the code where there is none."""
    if destination is None:
        report.error(absent, path, "a destination is needed")
        return
    if destination.host == "*":
        report.error("VS-80", (*path, "host"), "the full wildcard is not a destination")
    elif complaint := wild_domain(destination.host):
        report.error("VS-81", (*path, "host"), complaint)
    if complaint := optional_label(destination.subset):
        report.error("VS-82", (*path, "subset"), complaint)
    if destination.port is not None and (complaint := port(destination.port.number)):
        report.error("VS-83", (*path, "port", "number"), complaint)
