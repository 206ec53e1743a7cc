"""Conditions of HTTP rules: which of them are settled for this client, and what is left to test per request
(Istio: route.TranslateRouteMatch)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from roadstead.compile.inputs import Env
from roadstead.compile.virtual_services import MESH
from roadstead.config import HTTPMatchRequest, L4MatchAttributes, TLSMatchAttributes
from roadstead.config import StringMatch as Written
from roadstead.mesh import HeaderMatch, QueryMatch, RouteMatch, StringMatch

L4Match: TypeAlias = TLSMatchAttributes | L4MatchAttributes

EVERYTHING = RouteMatch()
_PRESENT = StringMatch("present")
_ROOT = StringMatch("prefix", "/")
_ALL_PATHS = (None, _ROOT, StringMatch("regex", ".*"))
# JWT claims in the place of a header's name.
_CLAIMS = ("@request.auth.claims.", "@request.auth.claims[")


def applies(match: HTTPMatchRequest, env: Env, port: int, gateway: str) -> bool:
    """Whether an entry can hold for this client at all. One that names gateways does not look at the source."""
    if match.port and match.port != port:
        return False
    if match.gateways:
        return gateway in match.gateways
    return _from_here(match.source_labels, match.source_namespace, env)


def l4_applies(match: L4Match, env: Env, port: int, gateway: str = MESH) -> bool:
    """The same for TLS and TCP routes, where all four are looked at. On a router the source is not."""
    if match.port and match.port != port:
        return False
    if match.gateways and gateway not in match.gateways:
        return False
    return gateway != MESH or _from_here(match.source_labels, match.source_namespace, env)


def _from_here(labels: Mapping[str, str], namespace: str, env: Env) -> bool:
    if namespace and namespace != env.node.namespace:
        return False
    return not labels or all(env.labels.get(key) == value for key, value in labels.items())


def route_match(match: HTTPMatchRequest) -> RouteMatch:
    """The conditions of one entry. Order as Istio's: headers by name, wanted or not, then the pseudo headers."""
    headers: tuple[HeaderMatch, ...] = ()
    claims: tuple[HeaderMatch, ...] = ()
    queries: tuple[QueryMatch, ...] = ()
    if match.headers or match.without_headers:
        named = _named(match)
        headers = tuple([header for header in named if not header.name.startswith(_CLAIMS)])
        if len(headers) != len(named):
            claims = tuple([claim for claim in named if claim.name.startswith(_CLAIMS)])
    if match.method is not None:
        headers += (HeaderMatch(":method", string_match(match.method)),)
    if match.authority is not None:
        headers += (HeaderMatch(":authority", string_match(match.authority)),)
    if match.scheme is not None:
        headers += (HeaderMatch(":scheme", string_match(match.scheme)),)
    if match.query_params:
        queries = tuple(
            [QueryMatch(name, string_match(match.query_params[name])) for name in sorted(match.query_params)]
        )
    return RouteMatch(_path(match.uri), match.ignore_uri_case, headers, queries, claims)


def _named(match: HTTPMatchRequest) -> list[HeaderMatch]:
    """Headers that must and must not match, by name."""
    found = [HeaderMatch(name, string_match(written)) for name, written in match.headers.items()]
    for name, written in match.without_headers.items():
        value = string_match(written)
        found.append(HeaderMatch(name, value, True, value is not _PRESENT))
    if len(found) > 1:
        found.sort(key=_header_name)
    return found


def _header_name(header: HeaderMatch) -> str:
    return header.name


def string_match(written: Written) -> StringMatch:
    """A test of one text; nothing, or the regex `*`, asks for presence only."""
    if written.exact is not None:
        return StringMatch("exact", written.exact)
    if written.prefix is not None:
        return StringMatch("prefix", written.prefix)
    if written.regex is not None and written.regex != "*":
        return StringMatch("regex", written.regex)
    return _PRESENT


def is_catch_all(match: RouteMatch) -> bool:
    """Whether Istio takes the conditions for "every request" and ends the list there."""
    return match.path in _ALL_PATHS and not match.headers and not match.queries and not match.claims


def _path(uri: Written | None) -> StringMatch:
    if uri is None:
        return _ROOT
    match = string_match(uri) if uri.regex != "*" else StringMatch("regex", "*")
    return _ROOT if match is _PRESENT or match == _ROOT else match
