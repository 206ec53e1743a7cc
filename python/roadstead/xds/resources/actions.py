"""One route of the mesh → Envoy's (Istio: core/route/route.go)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from roadstead.mesh import (
    Cors,
    Destination,
    DirectResponse,
    HashKey,
    HeaderMatch,
    HeaderOps,
    Mirror,
    Redirect,
    Retry,
    Route,
    RouteMatch,
)
from roadstead.mesh import StringMatch as Match
from roadstead.mesh.route import Share
from roadstead.xds.messages import core
from roadstead.xds.messages import route as table
from roadstead.xds.schema import Message, Value

FAULT, CORS = "envoy.filters.http.fault", "envoy.filters.http.cors"
_JWT_FILTER = "istio_authn"
_CLAIMS = "request.auth.claims"
_MILLION = 1_000_000
_PRIORITY_UPDATES = 2
_REDIRECTS = {302: "FOUND", 303: "SEE_OTHER", 307: "TEMPORARY_REDIRECT", 308: "PERMANENT_REDIRECT"}
_GRPC_STATUS = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


def route(rule: Route) -> Message:
    """One route, with what the filters before the router are told about it."""
    values: dict[str, Value] = {
        "name": rule.name,
        "match": _match(rule.match),
        "stat_prefix": rule.stat_prefix,
        **_headers(rule.headers, rule.headers_after),
    }
    if rule.redirect is not None:
        values["redirect"] = _redirect(rule.redirect)
    elif rule.direct_response is not None:
        values["direct_response"] = _direct_response(rule.direct_response)
    elif rule.destinations:
        values["route"] = _forward(rule)
    values["typed_per_filter_config"] = _filters(rule)
    return table.ROUTE.shared(**values)


def _direct_response(response: DirectResponse) -> Message:
    body = None
    if response.body and response.is_text:
        body = core.DATA_SOURCE(inline_string=response.body.decode())
    elif response.body:
        body = core.DATA_SOURCE(inline_bytes=response.body)
    return table.DIRECT_RESPONSE(status=response.status, body=body)


# Conditions


def string_matcher(match: Match) -> Message:
    """A condition on text; not for "present"."""
    if match.kind == "regex":
        return core.STRING_MATCHER(safe_regex=core.REGEX_MATCHER(regex=match.value))
    return core.STRING_MATCHER(**{match.kind: match.value})


def _match(match: RouteMatch) -> Message:
    if match.path is None and not (match.headers or match.queries or match.claims):
        return everything()
    values: dict[str, Value] = {"prefix": "/"}
    if match.path is not None:
        kind, value = match.path.kind, match.path.value
        # Envoy takes no case into account for a regular expression, and Istio says so of every path.
        values = {"case_sensitive": not match.ignore_case}
        if kind == "regex":
            values["safe_regex"] = core.REGEX_MATCHER(regex=value)
        else:
            values["path" if kind == "exact" else "prefix"] = value
    values["headers"] = [_header(header) for header in match.headers]
    values["query_parameters"] = [
        table.QUERY_MATCHER(name=query.name, **_presence_or_value(query.match)) for query in match.queries
    ]
    values["dynamic_metadata"] = [_claim(claim) for claim in match.claims]
    return Message(table.ROUTE_MATCH, values)


@lru_cache(maxsize=1)
def everything() -> Message:
    """Any path."""
    return table.ROUTE_MATCH.shared(prefix="/")


def _header(header: HeaderMatch) -> Message:
    return table.HEADER_MATCHER(
        name=header.name,
        invert_match=header.invert,
        treat_missing_header_as_empty=header.missing_as_empty,
        **_presence_or_value(header.match),
    )


def _presence_or_value(match: Match) -> dict[str, Value]:
    return {"present_match": True} if match.kind == "present" else {"string_match": string_matcher(match)}


def _claim(claim: HeaderMatch) -> Message:
    """A claim of the request's token, as Istio's authentication leaves it in the metadata: text, or a list with it."""
    path = [core.METADATA_PATH(key=key) for key in (_CLAIMS, *_claim_path(claim.name))]
    if claim.match.kind == "present":
        value = core.VALUE_MATCHER(present_match=True)
    else:
        text = core.VALUE_MATCHER(string_match=string_matcher(claim.match))
        listed = core.VALUE_MATCHER(list_match=core.LIST_MATCHER(one_of=text))
        value = core.VALUE_MATCHER(or_match=core.OR_MATCHER(value_matchers=[text, listed]))
    return core.METADATA_MATCHER(filter=_JWT_FILTER, path=path, value=value, invert=claim.invert)


def _claim_path(name: str) -> list[str]:
    """`@request.auth.claims.a.b` and `@request.auth.claims[a][b]` both name b inside a."""
    rest = name.removeprefix("@").removeprefix(_CLAIMS)
    if rest.startswith("["):
        return [part for part in rest.replace("]", "").split("[") if part]
    return [part for part in rest.split(".") if part]


# Actions


def _forward(rule: Route) -> Message:
    timeout = rule.timeout or 0.0
    values: dict[str, Value] = {
        "timeout": timeout,
        "max_grpc_timeout": timeout,
        "prefix_rewrite": rule.prefix_rewrite,
        "retry_policy": None if rule.retry is None else _retry(rule.retry),
        "request_mirror_policies": [_mirror(mirror) for mirror in rule.mirrors],
        "hash_policy": [_hash(key) for key in rule.hash_policies],
    }
    first = rule.destinations[0]
    if len(rule.destinations) == 1 and not first.weight:
        values["cluster"] = first.cluster
    else:
        weighted = [_weighted(destination) for destination in rule.destinations]
        values["weighted_clusters"] = table.WEIGHTED_CLUSTERS(clusters=weighted)
    if rule.host_rewrite:
        values["host_rewrite_literal"] = rule.host_rewrite
    if rule.forwards_host:
        values["append_x_forwarded_host"] = True
    if rule.regex_rewrite is not None:
        pattern, substitution = rule.regex_rewrite
        values["regex_rewrite"] = core.REGEX_SUBSTITUTE(
            pattern=core.REGEX_MATCHER(regex=pattern), substitution=substitution
        )
    return Message(table.ROUTE_ACTION, values)


def _weighted(destination: Destination) -> Message:
    return table.WEIGHTED(
        name=destination.cluster,
        weight=destination.weight,
        host_rewrite_literal=destination.host_rewrite or None,
        **_headers(destination.headers),
    )


def _headers(*levels: HeaderOps) -> dict[str, Value]:
    """Operations on headers, level after level in one list."""
    made: dict[str, Value] = {}
    for ops in levels:
        _extend(made, "request_headers_to_add", _added(ops.request_set, ops.request_add))
        _extend(made, "request_headers_to_remove", ops.request_remove)
        _extend(made, "response_headers_to_add", _added(ops.response_set, ops.response_add))
        _extend(made, "response_headers_to_remove", ops.response_remove)
    return made


def _extend(made: dict[str, Value], name: str, more: tuple[Value, ...]) -> None:
    if more:
        before = made.get(name, ())
        assert isinstance(before, tuple)
        made[name] = before + more


def _added(overwritten: Iterable[tuple[str, str]], appended: Iterable[tuple[str, str]]) -> tuple[Value, ...]:
    made: list[Value] = [
        core.HEADER_VALUE_OPTION(
            header=core.HEADER_VALUE(key=key, value=value), append_action="OVERWRITE_IF_EXISTS_OR_ADD"
        )
        for key, value in overwritten
    ]
    made += [core.HEADER_VALUE_OPTION(header=core.HEADER_VALUE(key=key, value=value)) for key, value in appended]
    return tuple(made)


@lru_cache(maxsize=1024)
def _retry(retry: Retry) -> Message:
    return table.RETRY_POLICY.shared(
        retry_on=retry.retry_on,
        num_retries=retry.attempts,
        per_try_timeout=retry.per_try_timeout,
        retry_priority=_other_priorities() if retry.remote_localities else None,
        retry_host_predicate=[_other_hosts()] if retry.ignore_previous_hosts else (),
        host_selection_retry_max_attempts=retry.host_attempts,
        retriable_status_codes=retry.retriable_status_codes,
        retry_back_off=None if retry.backoff is None else table.RETRY_BACK_OFF(base_interval=retry.backoff),
    )


def _other_hosts() -> Message:
    return table.RETRY_HOST_PREDICATE(
        name="envoy.retry_host_predicates.previous_hosts", typed_config=table.PREVIOUS_HOSTS()
    )


def _other_priorities() -> Message:
    return table.RETRY_PRIORITY(
        name="envoy.retry_priorities.previous_priorities",
        typed_config=table.PREVIOUS_PRIORITIES(update_frequency=_PRIORITY_UPDATES),
    )


def _mirror(mirror: Mirror) -> Message:
    return table.MIRROR_POLICY(
        cluster=mirror.cluster,
        runtime_fraction=core.RUNTIME_FRACTIONAL_PERCENT(default_value=_share(mirror.numerator, mirror.share)),
        trace_sampled=False,
        disable_shadow_host_suffix_append=True,
    )


def _share(numerator: int, form: Share) -> Message | None:
    """A share per million, as it was written."""
    if form == "HUNDRED":
        return core.FRACTIONAL_PERCENT(numerator=numerator * 100 // _MILLION)
    return core.FRACTIONAL_PERCENT(numerator=numerator, denominator="MILLION") if form else None


def _hash(key: HashKey) -> Message:
    if key.kind == "header":
        return table.HASH_POLICY(header=table.HASH_HEADER(header_name=key.name))
    if key.kind == "cookie":
        attributes = [table.COOKIE_ATTRIBUTE(name=name, value=value) for name, value in key.attributes]
        cookie = table.HASH_COOKIE(name=key.name, ttl=key.ttl, path=key.path, attributes=attributes)
        return table.HASH_POLICY(cookie=cookie)
    if key.kind in ("source_ip", "nothing"):
        return table.HASH_POLICY(connection_properties=table.HASH_CONNECTION(source_ip=key.kind == "source_ip"))
    return table.HASH_POLICY(query_parameter=table.HASH_QUERY(name=key.name))


def _redirect(redirect: Redirect) -> Message:
    path: dict[str, Value] = {"path_redirect": redirect.path}
    if redirect.prefix_rewrite:
        path = {"prefix_rewrite": redirect.prefix_rewrite}
    return table.REDIRECT(
        host_redirect=redirect.host,
        scheme_redirect=redirect.scheme or None,
        port_redirect=redirect.port,
        response_code=_REDIRECTS.get(redirect.code),
        **path,
    )


# Filters


def _filters(rule: Route) -> dict[str, Value]:
    made: dict[str, Value] = {}
    if rule.has_fault:
        made[FAULT] = _fault(rule)
    if rule.cors is not None:
        made[CORS] = _cors(rule.cors)
    return made


def _fault(rule: Route) -> Message:
    delay = abort = None
    if rule.delay is not None:
        share = _share(rule.delay.numerator, rule.delay.share)
        delay = table.FAULT_DELAY(fixed_delay=rule.delay.seconds, percentage=share)
    if rule.abort is not None:
        share = _share(rule.abort.numerator, rule.abort.share)
        if rule.abort.grpc_status:
            abort = table.FAULT_ABORT(grpc_status=_grpc_status(rule.abort.grpc_status), percentage=share)
        else:
            abort = table.FAULT_ABORT(http_status=rule.abort.http_status, percentage=share)
    return table.HTTP_FAULT(delay=delay, abort=abort)


def _grpc_status(word: str) -> int:
    return int(word) if word.isdigit() else _GRPC_STATUS.index(word)


def _cors(cors: Cors) -> Message:
    always = core.FRACTIONAL_PERCENT(numerator=100)
    return table.CORS_POLICY(
        allow_origin_string_match=[string_matcher(origin) for origin in cors.allow_origins],
        allow_methods=cors.allow_methods,
        allow_headers=cors.allow_headers,
        expose_headers=cors.expose_headers,
        max_age="" if cors.max_age is None else str(cors.max_age),
        allow_credentials=cors.allow_credentials,
        filter_enabled=core.RUNTIME_FRACTIONAL_PERCENT(default_value=always),
        forward_not_matching_preflights=cors.forward_unmatched,
    )
