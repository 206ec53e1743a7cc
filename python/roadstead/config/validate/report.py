"""Where rules put what they find."""

from __future__ import annotations

from roadstead.config.dialect import EXTENSIONS, Dialect
from roadstead.config.findings import Finding, Severity, escaped

Path = tuple[str | int, ...]
"""Field names as written and indices, from the spec downwards."""


class Report:
    """Collects findings of one resource. extended: the dialect. namespace: the resource's own."""

    __slots__ = ("annotations", "base", "extended", "findings", "labels", "namespace")

    def __init__(
        self, dialect: Dialect, namespace: str, labels: dict[str, str], annotations: dict[str, str], base: str = ""
    ) -> None:
        self.extended = dialect == "extended"
        self.namespace = namespace
        self.labels = labels
        self.annotations = annotations
        self.base = base
        self.findings: list[Finding] = []

    def error(self, code: str, path: Path, message: str, hint: str = "") -> None:
        self.say(code, "error", path, message, hint)

    def warning(self, code: str, path: Path, message: str, hint: str = "") -> None:
        self.say(code, "warning", path, message, hint)

    def extension(self, code: str, path: Path) -> None:
        """Says that a row of the extended dialect is in use, and what Istio would do."""
        row = EXTENSIONS[code]
        self.say(code, "warning", path, row.means, f"Istio {row.istio}")

    def say(self, code: str, severity: Severity, path: Path, message: str, hint: str) -> None:
        self.findings.append(
            Finding(code, severity, message, path=path_text(path), hint=hint, pointer=self.base + pointer(path))
        )


def path_text(path: Path) -> str:
    """`spec.http[0].route`"""
    return "spec" + "".join([f"[{part}]" if isinstance(part, int) else f".{part}" for part in path])


def pointer(path: Path) -> str:
    """`/spec/http/0/route`"""
    return "/spec" + "".join([f"/{part}" if isinstance(part, int) else f"/{escaped(part)}" for part in path])
