"""HTTP rules of a VirtualService."""

from __future__ import annotations

import base64

from roadstead.config.duration import nanoseconds
from roadstead.config.header_format import rejected, unanswered
from roadstead.config.message import StringMatch
from roadstead.config.validate.destination import check_destination
from roadstead.config.validate.fields import Oneof, Rule, Rules
from roadstead.config.validate.predicates import (
    header_name,
    header_value,
    label_map,
    not_negative,
    optional_label,
    optional_port,
    percent,
    regex,
)
from roadstead.config.validate.report import Path, Report
from roadstead.config.virtual_service import (
    CorsPolicy,
    FaultAbort,
    FaultDelay,
    HeaderOperations,
    Headers,
    HTTPBody,
    HTTPDirectResponse,
    HTTPFaultInjection,
    HTTPMatchRequest,
    HTTPRedirect,
    HTTPRetry,
    HTTPRewrite,
    HTTPRoute,
    HTTPRouteDestination,
    RegexRewrite,
)

_PSEUDO = (":method", ":scheme", ":authority", ":path", ":status")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*")
_GRPC = frozenset(
    "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED "  # noqa: SIM905
    "RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS "
    "UNAUTHENTICATED".split()
)
_RETRY_ON = frozenset(
    "5xx gateway-error reset reset-before-request connect-failure retriable-4xx refused-stream "  # noqa: SIM905
    "retriable-status-codes retriable-headers envoy-ratelimited http3-post-connect-failure cancelled "
    "deadline-exceeded internal resource-exhausted unavailable".split()
)
_STATUS_RANGES = (
    (100, 103),
    (200, 208),
    (226, 226),
    (300, 305),
    (307, 308),
    (400, 418),
    (421, 426),
    (428, 429),
    (431, 431),
    (451, 451),
    (500, 508),
    (510, 511),
)
_STATUSES = frozenset(number for first, last in _STATUS_RANGES for number in range(first, last + 1))
"""Those that have a text in Go's net/http."""
_CLAIMS = "@request.auth.claims"
_LARGEST_BODY = 1024 * 1024
_SECOND = 10**9
# Istio's; Envoy's is one less.
_MOST_STATUS = 600
_ENVOYS_CODES = (0, 301, 302, 303, 307, 308)


def _status(number: int) -> str:
    return "" if 200 <= number <= _MOST_STATUS else f"status {number} is not in 200 to 600"


def _redirect_code(number: int) -> str:
    return "" if number == 0 or 300 <= number <= 399 else f"{number} is not in 300 to 399"


def _grpc_status(word: str) -> str:
    return "" if word in _GRPC else f"{word!r} is not a gRPC status"


def _method(word: str) -> str:
    return "" if word in _METHODS else f"{word!r} is not a method"


def _cors_header(name: str) -> str:
    return "" if name == "*" else header_name(name)


def _origin(match: StringMatch) -> str:
    if not (match.exact or match.prefix or match.regex):
        return "an origin is needed"
    return regex(match.regex) if match.regex is not None else ""


def _retry_on(text: str) -> str:
    for word in text.split(",") if text else ():
        if word not in _RETRY_ON and not (word.isdecimal() and int(word) in _STATUSES):
            return f"{word!r} is not a condition to retry on"
    return ""


def _redirect_scheme(word: str) -> str:
    return "" if word in ("", "http", "https") else f"{word!r} is neither http nor https"


def _never(value: object) -> str:
    return "is not supported"


def _whole_seconds(text: str) -> str:
    try:
        return "" if nanoseconds(text) % _SECOND == 0 else f"{text!r} has a fraction of a second"
    except ValueError:
        return ""  # said under DEC-6


def _base64(text: str | None) -> str:
    """Go's reader passes over line breaks and wants the padding."""
    if text is None:
        return ""
    try:
        base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except ValueError:
        return f"{text!r} is not base64"
    return ""


FIELDS: Rules = {
    StringMatch: (Oneof("K-VS-1", ("exact", "prefix", "regex")),),
    HTTPMatchRequest: (
        Rule("VS-32", "port", optional_port),
        Rule("VS-33", "source_labels", label_map),
        Rule("VS-35", "source_namespace", optional_label),
    ),
    HTTPRouteDestination: (Rule("VS-78", "weight", not_negative),),
    HTTPRedirect: (
        Oneof("K-VS-1", ("port", "derive_port")),
        Rule("VS-63", "redirect_code", _redirect_code),
        Rule("VS-64", "scheme", _redirect_scheme),
        Rule("VS-65", "port", optional_port),
    ),
    HTTPBody: (Oneof("K-VS-1", ("string", "bytes")), Rule("DEC-10", "bytes", _base64)),
    HTTPDirectResponse: (Rule("VS-68", "status", _status),),
    FaultAbort: (
        Oneof("K-VS-1", ("http_status", "grpc_status", "http2_error")),
        Rule("VS-47", "grpc_status", _grpc_status),
        Rule("VS-48", "http2_error", _never),
        Rule("VS-49", "http_status", _status),
    ),
    FaultDelay: (
        Oneof("K-VS-1", ("fixed_delay", "exponential_delay")),
        Rule("VS-52", "exponential_delay", _never),
        Rule("VS-46", "percent", percent),
    ),
    HeaderOperations: (
        Rule("VS-38", "set", header_value, on="values"),
        Rule("VS-38", "add", header_value, on="values"),
        Rule("ENVOY-4", "set", rejected, on="values", severity="warning"),
        Rule("ENVOY-4", "add", rejected, on="values", severity="warning"),
        Rule("EFF-2", "set", unanswered, on="values", severity="warning"),
        Rule("EFF-2", "add", unanswered, on="values", severity="warning"),
    ),
    HTTPRoute: (Rule("VS-53", "mirror_percent", percent),),
    HTTPRetry: (Rule("VS-69", "attempts", not_negative), Rule("VS-72", "retry_on", _retry_on)),
    RegexRewrite: (Rule("VS-75", "match", regex),),
    CorsPolicy: (
        Rule("VS-39", "allow_origins", _origin, on="each"),
        Rule("VS-41", "allow_methods", _method, on="each"),
        Rule("VS-42", "allow_headers", _cors_header, on="each"),
        Rule("VS-42", "expose_headers", _cors_header, on="each"),
        Rule("VS-44", "max_age", _whole_seconds),
    ),
}


def rules(rule: HTTPRoute, at: Path, report: Report, *, delegate: bool, in_mesh: bool, destinations: bool) -> None:
    """delegate: the VirtualService has no hosts. destinations: whether those of the route are looked at."""
    _actions(rule, at, report, delegate)
    for index, match in enumerate(rule.match):
        _match(match, (*at, "match", index), report, in_mesh)
    if rule.headers is not None:
        _headers(rule.headers, (*at, "headers"), report)
    for index, item in enumerate(rule.route):
        where: Path = (*at, "route", index)
        if item.headers is not None:
            _headers(item.headers, (*where, "headers"), report)
        if destinations:
            check_destination(item.destination, (*where, "destination"), report)
    if destinations:
        check_weights([item.weight for item in rule.route], (*at, "route"), report)
    if rule.fault is not None:
        _fault(rule.fault, (*at, "fault"), report)
    _mirrors(rule, at, report)
    if rule.retries is not None:
        _retries(rule.retries, (*at, "retries"), report)
    if rule.rewrite is not None:
        _rewrite(rule.rewrite, (*at, "rewrite"), report)
    _authority(rule, at, report)


def check_weights(weights: list[int], path: Path, report: Report) -> None:
    if len(weights) > 1 and sum(weights) == 0:
        report.error("VS-79", path, "the weights of several destinations add up to 0")
    for index, weight in enumerate(weights):
        if weight < 0:
            report.error("VS-78", (*path, index, "weight"), not_negative(weight))


def _actions(rule: HTTPRoute, at: Path, report: Report, delegate: bool) -> None:
    if rule.delegate is not None:
        if delegate:
            report.error("VS-22", (*at, "delegate"), "a delegate may not delegate")
        if rule.redirect is not None:
            report.error("VS-20", (*at, "redirect"), "a rule that delegates may not redirect")
        elif rule.route:
            report.error("VS-21", (*at, "route"), "a rule that delegates may not route")
        return
    if rule.redirect is None and rule.direct_response is None:
        if not rule.route:
            report.error("VS-25", at, "one of route, redirect, directResponse is needed")
        return
    given = [name for name in ("route", "fault", "rewrite") if getattr(rule, name)]
    if rule.redirect is not None:
        for name in given + (["directResponse"] if rule.direct_response is not None else []):
            report.error("VS-23", (*at, name), f"redirect and {name} exclude each other")
        _redirect(rule, rule.redirect, (*at, "redirect"), report)
    else:
        for name in given:
            report.error("VS-24", (*at, name), f"directResponse and {name} exclude each other")
        if rule.direct_response is not None and rule.direct_response.status == _MOST_STATUS:
            report.warning(
                "ENVOY-2",
                (*at, "directResponse", "status"),
                f"Envoy has no status {_MOST_STATUS} and rejects the whole route table: its port answers 404",
                "a status from 200 to 599",
            )
    body = rule.direct_response.body if rule.direct_response is not None else None
    if body is not None and len((body.string or "").encode()) + len(body.bytes or "") * 3 // 4 > _LARGEST_BODY:
        report.error("VS-66", (*at, "directResponse", "body"), "more than 1 MiB")


def _redirect(rule: HTTPRoute, redirect: HTTPRedirect, at: Path, report: Report) -> None:
    if redirect.uri and redirect.prefix_rewrite:
        report.error("VS-60", at, "uri and prefixRewrite exclude each other")
    elif redirect.prefix_rewrite and any(match.uri is not None and match.uri.prefix is None for match in rule.match):
        report.error("VS-61", (*at, "prefixRewrite"), "every match of the uri must be by prefix")
    elif redirect == HTTPRedirect(redirect_code=redirect.redirect_code):
        report.error("VS-62", at, "an empty redirect")
    code = redirect.redirect_code
    if not _redirect_code(code) and code not in _ENVOYS_CODES:
        report.warning(
            "ENVOY-1",
            (*at, "redirectCode"),
            f"Envoy has no redirect {code} and rejects the whole route table: its port answers 404",
            "301, 302, 303, 307 or 308",
        )


def _match(match: HTTPMatchRequest, at: Path, report: Report, in_mesh: bool) -> None:
    for name, found in (
        ("uri", match.uri),
        ("scheme", match.scheme),
        ("method", match.method),
        ("authority", match.authority),
    ):
        if found is not None:
            _string(found, (*at, name), report, prefix=name != "uri")
    for name, entries in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
        for key, condition in entries.items():
            path: Path = (*at, name, key)
            if key.lower().startswith((_CLAIMS + ".", _CLAIMS + "[")):
                if in_mesh:
                    report.error("VS-9", path, "claims are for gateways only")
            elif key not in _PSEUDO and (complaint := header_name(key)):
                report.error("VS-28", path, complaint)
            if not (name == "withoutHeaders" and condition.regex == "*"):
                _string(condition, path, report)
    for key, condition in match.query_params.items():
        _string(condition, (*at, "queryParams", key), report)


def _string(match: StringMatch, at: Path, report: Report, prefix: bool = True) -> None:
    """prefix: whether an empty prefix is refused."""
    if prefix and match.prefix == "":
        report.error("VS-29", (*at, "prefix"), "an empty prefix")
    if match.regex is not None and (complaint := regex(match.regex)):
        report.error("VS-30" if not match.regex else "VS-31", (*at, "regex"), complaint)


def _headers(headers: Headers, at: Path, report: Report) -> None:
    for name, operations in (("request", headers.request), ("response", headers.response)):
        if operations is not None:
            _operations(operations, (*at, name), report, request=name == "request")


def _operations(operations: HeaderOperations, at: Path, report: Report, request: bool) -> None:
    for verb, names in (("set", operations.set), ("add", operations.add), ("remove", operations.remove)):
        for index, name in enumerate(names):
            path: Path = (*at, verb, index if verb == "remove" else name)
            if request and verb != "remove":
                if not name or (name.startswith(":") and name != ":authority"):
                    report.error("VS-36", path, f"{name!r} cannot be changed" if name else "an empty name")
            elif not name or name.startswith(":") or name.lower() == "host":
                report.error("VS-37", path, f"{name!r} cannot be changed" if name else "an empty name")


def _fault(fault: HTTPFaultInjection, at: Path, report: Report) -> None:
    if fault.delay is None and fault.abort is None:
        report.error("VS-45", at, "one of delay, abort is needed")
    for name, part in (("delay", fault.delay), ("abort", fault.abort)):
        if part is not None and part.percentage is not None:
            value = part.percentage.value
            if value != 0 and not 0.0001 <= value <= 100:
                report.error("VS-46", (*at, name, "percentage"), f"{value:g} is neither 0 nor in 0.0001 to 100")


def _mirrors(rule: HTTPRoute, at: Path, report: Report) -> None:
    if rule.mirror is not None:
        if rule.mirrors:
            report.error("VS-26", (*at, "mirror"), "mirror and mirrors exclude each other")
        check_destination(rule.mirror, (*at, "mirror"), report)
    if rule.mirror_percent is not None:
        report.warning("VS-54", (*at, "mirrorPercent"), "deprecated", "use mirrorPercentage")
    if rule.mirror_percentage is not None and (complaint := percent(rule.mirror_percentage.value)):
        report.error("VS-55", (*at, "mirrorPercentage", "value"), complaint)
    for index, mirror in enumerate(rule.mirrors):
        check_destination(mirror.destination, (*at, "mirrors", index, "destination"), report, "VS-57")
        if mirror.percentage is not None and (complaint := percent(mirror.percentage.value)):
            report.error("VS-59", (*at, "mirrors", index, "percentage", "value"), complaint)


def _retries(retries: HTTPRetry, at: Path, report: Report) -> None:
    if retries.attempts == 0 and (
        retries.per_try_timeout or retries.retry_on or retries.retry_remote_localities is not None
    ):
        report.error("VS-70", at, "a policy for retries that attempts: 0 turns off")


def _authority(rule: HTTPRoute, at: Path, report: Report) -> None:
    """The authority may be set in one place only: by the rewrite, or by one of the headers that mean it."""
    given = [rule.rewrite.authority] if rule.rewrite is not None else []
    request = rule.headers.request if rule.headers is not None else None
    if request is not None:
        pairs = (*request.set.items(), *request.add.items())
        given += [value for name, value in pairs if name.lower() in ("host", ":authority")]
    if sum(map(bool, given)) > 1:
        report.error("VS-76", at, "the authority is set more than once")


def _rewrite(rewrite: HTTPRewrite, path: Path, report: Report) -> None:
    if rewrite.uri and rewrite.uri_regex_rewrite is not None:
        report.error("VS-73", path, "uri and uriRegexRewrite exclude each other")
    if not (rewrite.uri or rewrite.authority or rewrite.uri_regex_rewrite is not None):
        report.error("VS-74", path, "an empty rewrite")
    if rewrite.uri_regex_rewrite is not None and not rewrite.uri_regex_rewrite.rewrite:
        report.error("VS-75", (*path, "uriRegexRewrite", "rewrite"), "is required")


__all__ = ["FIELDS", "check_weights", "rules"]
