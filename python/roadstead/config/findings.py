"""What is said about documents, and every code it is said under.

Codes of rules are those of Istio's behaviour as this project numbers it: META, SE, WE, WG, VS, DR, GW, SC, PA, EXP,
MC (Istio's own validation), K-… (the schema of the Kubernetes resource). DOC: the document as such; DEC: fields and
values; ENG: the engine; EXT: the extended dialect; EFF: what is accepted and does nothing here.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["error", "warning", "info"]
_ORDER = {"error": 0, "warning": 1, "info": 2}

CODES: dict[str, str] = {
    "DOC-1": "not readable as YAML or JSON",
    "DOC-2": "no kind: not a Kubernetes document",
    "DOC-3": "a kind that is not Istio's, or not read here",
    "DOC-4": "nearly a kind that is read here",
    "DEC-1": "unknown field",
    "DEC-2": "wrong type",
    "DEC-3": "null where a value is needed",
    "DEC-4": "not a word of the enumeration",
    "DEC-5": "number out of range",
    "DEC-6": "not a duration, or not one that is allowed here",
    "DEC-7": "not a time",
    "DEC-8": "required field missing",
    "DEC-9": "several members of a oneof",
    "DEC-10": "not base64",
    "META-1": "unknown top-level field",
    "EFF-1": "accepted, without effect on what leaves the workload",
    "EFF-2": "a command in a header's value that only a proxy can answer",
    "ENG-1": "refused by the engine",
    "ENVOY-1": "a redirect code that Envoy has not: it rejects the whole route table",
    "ENVOY-2": "a status of a direct response that Envoy has not: it rejects the whole route table",
    "ENVOY-3": "HTTP/2 without TLS to names that are looked up for each request: Envoy rejects the cluster",
    "ENVOY-4": "a command in a header's value that Envoy does not take: it rejects the whole route table",
    "ENVOY-5": "a change that would make Envoy reject a route table which it has a good version of",
    "EXT-1": "STATIC with host names as endpoints",
    "EXT-2": "endpoints together with workloadSelector",
    "EXT-3": "trafficPolicy.healthCheck",
    "EXT-4": "trafficPolicy.circuitBreaker",
    "EXT-5": "connectionPool.tcp.keepAlive",
    "EXT-6": "labels region and zone as the locality",
    "EXT-7": "label priority as the priority",
    "EXT-8": "resolution left out",
    "EXT-9": "http rules on an HTTPS port",
    "EXT-10": "a field of the extended dialect next to Istio's own for the same thing",
    "EXT-11": "probe of a WorkloadGroup",
}
"""Code → what it is about. Codes of the rule tables (SE-5 …) are not repeated here."""


class Finding(msgspec.Struct, frozen=True, gc=False):
    """One thing to say. line and column count from 1, 0 where there is no text. path: `spec.http[0].route[1].weight`;
    pointer: the same as a JSON pointer into the document. hint: what to write instead, or what Istio would do; ""
    without one."""

    code: str
    severity: Severity
    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    path: str = ""
    hint: str = ""
    pointer: str = ""

    def __str__(self) -> str:
        place = ":".join([self.file or "-", *(str(number) for number in (self.line, self.column) if number)])
        subject = f" {self.path}" if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}: {self.severity}[{self.code}]{subject}: {self.message}{hint}"

    @property
    def order(self) -> tuple[str, int, int, int, str, str]:
        """Sort key: by place, at one place the worst first."""
        return self.file, self.line, self.column, _ORDER[self.severity], self.code, self.path

    def __lt__(self, other: Finding) -> bool:
        return self.order < other.order


def refuses(findings: tuple[Finding, ...]) -> bool:
    """Whether there is an error among them."""
    return any(finding.severity == "error" for finding in findings)


def escaped(key: str) -> str:
    """A key as a token of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1") if "~" in key or "/" in key else key


__all__ = ["CODES", "Finding", "Severity", "escaped", "refuses"]
