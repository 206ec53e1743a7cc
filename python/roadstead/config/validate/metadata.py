"""Metadata of every kind."""

from __future__ import annotations

from roadstead.config.findings import Finding
from roadstead.config.meta import ObjectMeta, timestamp
from roadstead.config.validate.predicates import label

_FORBIDDEN = {
    "istio.io/dry-run": "META-2",
    "internal.istio.io/webhook-always-reject": "META-4",
    "internal.istio.io/parent-namespace": "META-5",
    "internal.istio.io/parents": "META-6",
}
GATEWAY_API = "internal.istio.io/gateway-semantics"


def rules(kind: str, metadata: ObjectMeta, base: str) -> tuple[Finding, ...]:
    """base: pointer to the resource in its document."""
    found = [
        _finding(_FORBIDDEN[name], f"annotations.{name}", base, f"the annotation {name} is not allowed here")
        for name in metadata.annotations
        if name in _FORBIDDEN
    ]
    if (
        kind == "Gateway"
        and metadata.annotations.get(GATEWAY_API) != "gateway"
        and (complaint := _gateway_name(metadata.name))
    ):
        found.append(_finding("META-9", "name", base, complaint))
    if metadata.creation_timestamp:
        try:
            timestamp(metadata.creation_timestamp)
        except ValueError as error:
            found.append(_finding("DEC-7", "creationTimestamp", base, str(error)))
    return tuple(found)


def _gateway_name(name: str) -> str:
    complaint = label(name)
    return complaint or ("" if name == name.lower() else f"{name!r} is not in lower case")


def _finding(code: str, field: str, base: str, message: str) -> Finding:
    top, _, key = field.partition(".")
    inside = f"{top}/{key.replace('/', '~1')}" if key else top
    return Finding(code, "error", message, path=f"metadata.{field}", pointer=f"{base}/metadata/{inside}")
