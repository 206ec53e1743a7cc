"""exportTo of ServiceEntry, VirtualService and DestinationRule."""

from __future__ import annotations

from roadstead.config.validate.predicates import export_item
from roadstead.config.validate.report import Path, Report


def rules(items: tuple[str, ...], path: Path, report: Report, *, nobody: bool = False, own_only: bool = False) -> None:
    """nobody: whether `~` may be written. own_only: the rule has a workloadSelector and stays in its namespace."""
    seen: set[str] = set()
    for index, item in enumerate(items):
        if not (nobody and item == "~") and (complaint := export_item(item)):
            report.error("EXP-2", (*path, index), complaint)
            continue
        meant = report.namespace if item == "." else item
        if meant in seen:
            report.error("EXP-1", (*path, index), f"{item!r} is there twice")
        seen.add(meant)
    if len(items) > 1:
        if "*" in items:
            report.error("EXP-3", path, "`*` goes with nothing else")
        if nobody and "~" in items:
            report.error("EXP-4", path, "`~` goes with nothing else")
    if own_only and items:
        if report.namespace not in seen:
            report.error("EXP-5", path, "a rule with a workloadSelector stays in its own namespace")
        elif len(items) > 1:
            report.error("EXP-6", path, "a rule with a workloadSelector is for its own namespace alone")
