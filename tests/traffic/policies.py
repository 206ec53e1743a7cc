"""Whether a decision's policies explain what Envoy did after it: an exchange, CORS, response headers, TLS."""

from __future__ import annotations

import re
from collections.abc import Callable

from roadstead import Decision
from roadstead.mesh import Cors, StringMatch, TlsOrigination

from .carried import carry
from .recorded import Recorded

Differ = Callable[[str, object, object], None]

# Written by the codec and by the recorder's upstreams, asked of hash policies, or left out of the recording.
_NOT_THE_ROUTES = frozenset(
    (
        "grpc-status", "grpc-message", "transfer-encoding", "set-cookie", "location", "content-type", "content-length",
        "date", "server", "x-envoy-upstream-service-time",
    )
)  # fmt: skip
# Answered by the CORS filter or the codec, or never HTTP for Envoy.
_NOT_CARRIED = (None, "cors_response", "filter_chain_not_found", "websocket_handshake_unsuccessful")
_MESH_CERTIFICATE = frozenset(("ISTIO_MUTUAL", "AUTO", "MUTUAL"))


def unexplained(request: Recorded, expect: Recorded, decision: Decision) -> dict[str, tuple[object, object]]:
    """What the policies do not explain: as recorded, and as they have it."""
    found: dict[str, tuple[object, object]] = {}

    def differ(name: str, recorded: object, ours: object) -> None:
        if recorded != ours:
            found[name] = (recorded, ours)

    if request["kind"] in ("http", "h2c") and expect.get("details") not in _NOT_CARRIED:
        carry(_sent(request), expect, decision, differ)
    if "upstream_tls" in expect and isinstance(decision.tls, TlsOrigination):
        _tls(expect, decision.tls, differ)
    if expect.get("details") in ("cors_response", "via_upstream", "direct_response", "fault_filter_abort"):
        _response(_sent(request), request.get("method", "GET"), expect, decision, differ)
    return found


def _sent(request: Recorded) -> dict[str, str]:
    return {name.lower(): value for name, value in request.get("headers", ())}


def _tls(expect: Recorded, tls: TlsOrigination, differ: Differ) -> None:
    seen = expect["upstream_tls"]
    # Without a list of the cluster's, HTTP/1.1 names itself and bytes alone nothing.
    http = "vhost" in expect
    differ("alpn", seen["alpn"], list(tls.alpn) or (["http/1.1"] if http else []))
    differ("client certificate", bool(seen["client_certificate"]), tls.mode in _MESH_CERTIFICATE)


def _response(sent: dict[str, str], method: str, expect: Recorded, decision: Decision, differ: Differ) -> None:
    details = expect["details"]
    answered = _cors_answer(sent, method, decision.cors if isinstance(decision.cors, Cors) else None)
    recorded = {
        name: value for name, value in expect.get("response_headers", {}).items() if name not in _NOT_THE_ROUTES
    }
    if details == "cors_response":
        differ("CORS answer", recorded, answered)
        return
    if details == "via_upstream":
        differ("CORS answer", None, answered)
    replied: list[tuple[str, str]] = []
    if details == "via_upstream":
        replied = [(name, value) for name, _, value in (one.partition("=") for one in _replies(sent))]
    after = decision.apply_response(replied)
    if details != "fault_filter_abort":
        after += list(_cors_headers(sent, decision.cors).items())
    joined: dict[str, list[str]] = {}
    for name, value in after:
        if name.lower() not in _NOT_THE_ROUTES:
            joined.setdefault(name.lower(), []).append(value)
    differ("response headers", recorded, {name: ",".join(values) for name, values in joined.items()})


def _replies(sent: dict[str, str]) -> list[str]:
    return [one for one in sent.get("x-reply", "").split("|") if one]


def _is_preflight(sent: dict[str, str], method: str) -> bool:
    return method == "OPTIONS" and bool(sent.get("origin")) and bool(sent.get("access-control-request-method"))


def _cors_answer(sent: dict[str, str], method: str, cors: Cors | None) -> dict[str, str] | None:
    """Headers of the answer to a preflight; None where it goes upstream."""
    if cors is None or not _is_preflight(sent, method):
        return None
    found = _cors_headers(sent, cors)
    if not found:
        return None if cors.forward_unmatched else {}
    for name, allowed, asked in (
        ("access-control-allow-methods", cors.allow_methods, "access-control-request-method"),
        ("access-control-allow-headers", cors.allow_headers, "access-control-request-headers"),
    ):
        if allowed:
            found[name] = sent.get(asked, "") if allowed == "*" else allowed
    if cors.max_age is not None:
        found["access-control-max-age"] = str(cors.max_age)
    return found


def _cors_headers(sent: dict[str, str], cors: object) -> dict[str, str]:
    """What any answer to an allowed origin carries."""
    origin = sent.get("origin", "")
    if not isinstance(cors, Cors) or not origin or not any(_matches(one, origin) for one in cors.allow_origins):
        return {}
    found = {"access-control-allow-origin": origin}
    if cors.allow_credentials:
        found["access-control-allow-credentials"] = "true"
    if cors.expose_headers:
        found["access-control-expose-headers"] = cors.expose_headers
    return found


def _matches(match: StringMatch, origin: str) -> bool:
    if match.kind == "regex":
        return re.fullmatch(match.value, origin) is not None
    return match.value == "*" or (origin == match.value if match.kind == "exact" else origin.startswith(match.value))
