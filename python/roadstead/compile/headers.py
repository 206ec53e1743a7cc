"""Header operations and the authority of a rule (Istio: route.TranslateHeadersOperations)."""

from __future__ import annotations

from collections.abc import Mapping

from roadstead.config import HeaderOperations, Headers
from roadstead.config.header_format import rejected
from roadstead.mesh import HeaderOps
from roadstead.mesh.route import NO_OPS

_NOTHING = HeaderOperations()
_AUTHORITY = ("host", ":authority")


def header_ops(headers: Headers | None) -> HeaderOps:
    """What is set, added and removed, by name. Pseudo headers and `host` cannot be touched this way."""
    if headers is None:
        return NO_OPS
    request, response = headers.request or _NOTHING, headers.response or _NOTHING
    made = HeaderOps(
        _sorted(request.set),
        _sorted(request.add),
        _removed(request.remove),
        _sorted(response.set),
        _sorted(response.add),
        _removed(response.remove),
    )
    return NO_OPS if made == NO_OPS else made


def is_rejected(ops: HeaderOps) -> bool:
    """Whether Envoy does not take one of the values, and no route table with it."""
    if ops is NO_OPS:
        return False
    values = (*ops.request_set, *ops.request_add, *ops.response_set, *ops.response_add)
    return any("%" in value and rejected(value) for _, value in values)


def authority(headers: Headers | None) -> str:
    """`set` or `add` of the request's host rewrites the authority, `set` first; "" without either."""
    if headers is None or headers.request is None:
        return ""
    return _authority(headers.request.set) or _authority(headers.request.add)


def _authority(values: Mapping[str, str]) -> str:
    return next((value for name, value in values.items() if name.lower() in _AUTHORITY), "")


def _sorted(values: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted([(name, value) for name, value in values.items() if not _internal(name)]))


def _removed(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple([name for name in names if not _internal(name)])


def _internal(name: str) -> bool:
    return name.startswith(":") or name.lower() == "host"
