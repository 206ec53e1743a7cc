"""`roadstead validate`: every error of every file, with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from roadstead.cli import exit_codes, output
from roadstead.cli.options import Source, load, source_options

if TYPE_CHECKING:
    from roadstead.config import Finding

_LEVELS = ("error", "warning", "info")
_COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}


@click.command("validate")
@click.option(
    "--fail-on", "threshold", type=click.Choice([*_LEVELS, "never"]), default="error", show_default=True,
    help="Least severity of a finding that makes the exit code 79.",
)  # fmt: skip
@click.option("--level", type=click.Choice(_LEVELS), default="info", show_default=True, help="Least severity shown.")
@click.option(
    "-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True
)
@source_options
def command(threshold: str, level: str, form: str, source: Source) -> int:
    """Check files, or a cluster's objects, and report every error with its place.

    What is shown: file:line:column, severity, code, the field and what to write instead. Exit code: 0, 79 with findings
    at or over --fail-on, 65 where nothing can be read as YAML or JSON, 66 for a missing file.

    \b
    roadstead validate -f mesh/
    kubectl get serviceentry -A -o yaml | roadstead validate -f - -o json
    roadstead validate --kubernetes -f change.yaml
    """
    registry = load(source)
    findings = list(registry.diagnostics)
    shown = [finding for finding in findings if _LEVELS.index(finding.severity) <= _LEVELS.index(level)]
    if form == "table":
        _show(shown, len(registry.resources))
    else:
        output.write(output.tree_of(shown), form)
    if threshold == "never":
        return exit_codes.OK
    reached = any(_LEVELS.index(finding.severity) <= _LEVELS.index(threshold) for finding in findings)
    return exit_codes.FINDINGS if reached else exit_codes.OK


def _show(findings: list[Finding], kept: int) -> None:
    for finding in findings:
        click.echo(click.style(str(finding), fg=_COLOURS[finding.severity]))
    counts = {level: sum(finding.severity == level for finding in findings) for level in _LEVELS}
    told = ", ".join(
        f"{count} {level}{'s' if count != 1 and level != 'info' else ''}" for level, count in counts.items() if count
    )
    click.echo(f"{kept} resource{'s' if kept != 1 else ''} kept; {told or 'no findings'}.", err=True)
