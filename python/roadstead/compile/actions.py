"""What a rule does besides choosing a cluster: redirect, direct response, fault, mirrors, CORS (Istio:
route.ApplyRedirect, TranslateFault, TranslateCORSPolicy)."""

from __future__ import annotations

import base64

from roadstead.compile.matches import string_match
from roadstead.config import (
    CorsPolicy,
    FaultAbort,
    FaultDelay,
    HTTPDirectResponse,
    HTTPMirrorPolicy,
    HTTPRedirect,
    HTTPRoute,
    Percent,
)
from roadstead.config.duration import seconds
from roadstead.mesh import Abort, Cors, Delay, DirectResponse, Redirect, StringMatch

MILLION = 1_000_000
_CODES = {0: 301, 301: 301, 302: 302, 303: 303, 307: 307, 308: 308}
_DEFAULT_PORTS = {"http": 80, "https": 443}


def redirect(written: HTTPRedirect, port: int, tls: bool = False) -> Redirect | None:
    """None for a code that Envoy has no redirect for: Istio then makes a route without any action, which Envoy refuses.

    port: of the listener. tls: the listener speaks TLS, so the scheme is https where none is written."""
    code = _CODES.get(written.redirect_code)
    if code is None:
        return None
    number = written.port or 0
    if written.derive_port == "FROM_REQUEST_PORT":
        number = port
    if number and number == _DEFAULT_PORTS.get(written.scheme or ("https" if tls else "http")):
        number = 0
    path = "" if written.prefix_rewrite else written.uri
    return Redirect(written.scheme, written.authority, number, path, written.prefix_rewrite, code)


def direct_response(written: HTTPDirectResponse) -> DirectResponse:
    """The status as written, also one that Envoy refuses."""
    if written.body is None:
        return DirectResponse(written.status)
    text, encoded = written.body.string, written.body.bytes
    if encoded is not None:
        return DirectResponse(written.status, base64.b64decode(encoded), False)
    return DirectResponse(written.status, (text or "").encode())


def delay(written: FaultDelay | None) -> Delay | None:
    """Without a share it never happens, and is kept all the same."""
    if written is None or written.fixed_delay is None:
        return None
    return Delay(
        seconds(written.fixed_delay),
        share(written.percentage, written.percent),
        "HUNDRED" if written.percentage is None else "MILLION",
    )


def abort(written: FaultAbort | None) -> Abort | None:
    """The same for an abort; without a status there is nothing to abort with."""
    if written is None or (written.http_status is None and written.grpc_status is None):
        return None
    return Abort(
        share(written.percentage, 0),
        written.http_status or 0,
        written.grpc_status or "",
        "" if written.percentage is None else "MILLION",
    )


def share(percentage: Percent | None, percent: int) -> int:
    """Per million. percent: the deprecated whole number, for where there is no percentage."""
    return percent * (MILLION // 100) if percentage is None else int(percentage.value * (MILLION // 100))


def mirror_share(route: HTTPRoute) -> int:
    """Share of `mirror` per million: its percentage, the deprecated whole number, else everything."""
    if route.mirror_percentage is None and route.mirror_percent is None:
        return MILLION
    return share(route.mirror_percentage, route.mirror_percent or 0)


def policy_share(mirror: HTTPMirrorPolicy) -> int:
    """Share of one of `mirrors` per million."""
    return MILLION if mirror.percentage is None else share(mirror.percentage, 0)


def cors(written: CorsPolicy | None) -> Cors | None:
    if written is None:
        return None
    origins = tuple([string_match(origin) for origin in written.allow_origins])
    return Cors(
        origins or tuple([StringMatch("exact", origin) for origin in written.allow_origin]),
        ",".join(written.allow_methods),
        ",".join(written.allow_headers),
        ",".join(written.expose_headers),
        None if written.max_age is None else int(seconds(written.max_age)),
        written.allow_credentials,
        written.unmatched_preflights != "IGNORE",
    )
