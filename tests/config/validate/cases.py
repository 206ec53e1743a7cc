"""Helpers of the tables: what is said about a spec written as YAML."""

from __future__ import annotations

from roadstead.config import Dialect
from roadstead.config.read import read

API = {"PeerAuthentication": "security.istio.io/v1"}


def said(
    kind: str, spec: str, dialect: Dialect = "istio", metadata: str = "name: one", severity: str = "error"
) -> list[tuple[str, str]]:
    """(code, path below spec) of the findings of that severity, in order of place."""
    text = (
        f"apiVersion: {API.get(kind, 'networking.istio.io/v1')}\nkind: {kind}\nmetadata: {{{metadata}}}\nspec: {spec}\n"
    )
    (found,) = read(text.encode(), "file.yaml", dialect)
    assert all(finding.line and finding.column for finding in found.findings)
    assert bool(found.resources) is not any(finding.severity == "error" for finding in found.findings)
    return [
        (finding.code, finding.path.removeprefix("spec").removeprefix("."))
        for finding in found.findings
        if finding.severity == severity
    ]
