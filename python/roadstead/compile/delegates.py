"""Merging one route of a delegate into the root's route (Istio: mergeHTTPRoute)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from roadstead.config import HTTPMatchRequest, HTTPRoute, StringMatch

Pairs: TypeAlias = tuple[tuple[int, int], ...]
# What a delegate inherits where it says nothing, each as a whole.
_INHERITED = (
    "rewrite",
    "direct_response",
    "timeout",
    "retries",
    "fault",
    "mirror",
    "mirror_percent",
    "mirror_percentage",
    "cors_policy",
    "headers",
)
# Conditions that the delegate's own replace.
_REPLACED = ("uri", "scheme", "method", "authority")


def merge(root: HTTPRoute, delegate: HTTPRoute) -> tuple[HTTPRoute, Pairs] | None:
    """The merged route, and for each of its matches the positions (root match, delegate match) it came from, -1 where a
    side gave none. None: a match of the delegate conflicts with every match of the root, and the route is not used."""
    matches = _matches(root.match, delegate.match)
    if matches is None:
        return None
    changes: dict[str, object] = {"match": tuple([match for match, _ in matches])}
    for field in _INHERITED:
        if getattr(delegate, field) is None:
            changes[field] = getattr(root, field)
    if not delegate.mirrors:
        changes["mirrors"] = root.mirrors
    changes["name"] = _joined(root.name, delegate.name)
    return msgspec.structs.replace(delegate, **changes), tuple([pair for _, pair in matches])


def _joined(root: str, delegate: str) -> str:
    return f"{root}-{delegate}" if root and delegate else root or delegate


def _matches(
    root: Sequence[HTTPMatchRequest], delegate: Sequence[HTTPMatchRequest]
) -> list[tuple[HTTPMatchRequest, tuple[int, int]]] | None:
    if not root:
        return [(match, (-1, at)) for at, match in enumerate(delegate)]
    if not delegate:
        return [(match, (at, -1)) for at, match in enumerate(root)]
    made = []
    for inner, leaf in enumerate(delegate):
        fitting = [(outer, match) for outer, match in enumerate(root) if not conflict(match, leaf)]
        if not fitting:
            return None
        made += [(_merged(match, leaf), (outer, inner)) for outer, match in fitting]
    return made


def conflict(root: HTTPMatchRequest, delegate: HTTPMatchRequest) -> bool:
    """Whether the two conditions cannot stand together by Istio's rules, which are stricter than logic."""
    return (
        any(_incompatible(getattr(root, field), getattr(delegate, field)) for field in _REPLACED)
        or _keys_conflict(root.headers, delegate.headers)
        or _keys_conflict(root.without_headers, delegate.without_headers)
        or _keys_conflict(root.query_params, delegate.query_params)
        or root.ignore_uri_case != delegate.ignore_uri_case
        or bool(root.port and delegate.port and root.port != delegate.port)
        or any(root.source_labels.get(key, value) != value for key, value in delegate.source_labels.items())
        or bool(root.source_namespace and root.source_namespace != delegate.source_namespace)
        or bool(root.gateways and not set(delegate.gateways) <= set(root.gateways))
    )


def _keys_conflict(root: Mapping[str, StringMatch], delegate: Mapping[str, StringMatch]) -> bool:
    return any(_incompatible(root.get(key), match) for key, match in delegate.items())


def _incompatible(root: StringMatch | None, delegate: StringMatch | None) -> bool:
    if root is None or delegate is None:
        return False
    if root.regex or delegate.regex:
        return True
    if root.exact:
        return delegate.exact != root.exact
    if root.prefix:
        return not (delegate.exact or delegate.prefix or "").startswith(root.prefix)
    return True


def _merged(root: HTTPMatchRequest, delegate: HTTPMatchRequest) -> HTTPMatchRequest:
    changes: dict[str, object] = {
        "port": delegate.port or root.port,
        "source_namespace": delegate.source_namespace or root.source_namespace,
        "gateways": delegate.gateways or root.gateways,
        "stat_prefix": delegate.stat_prefix or root.stat_prefix,
        "headers": root.headers | delegate.headers,
        "without_headers": root.without_headers | delegate.without_headers,
        "query_params": root.query_params | delegate.query_params,
        "source_labels": root.source_labels | delegate.source_labels,
        "name": _joined(root.name, delegate.name),
    }
    for field in _REPLACED:
        if getattr(delegate, field) is None:
            changes[field] = getattr(root, field)
    return msgspec.structs.replace(delegate, **changes)
