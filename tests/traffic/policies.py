"""Whether a decision's policies explain what Envoy did after it: an exchange, response headers (CORS among them), TLS."""

from __future__ import annotations

from collections.abc import Callable

from roadstead import Decision
from roadstead.mesh import TlsOrigination

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
# Answered by the codec, by the filter that looks names up, or never HTTP for Envoy.
_NOT_CARRIED = (None, "empty_host_header", "filter_chain_not_found", "websocket_handshake_unsuccessful")
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
        _response(_sent(request), expect, decision, differ)
    return found


def _sent(request: Recorded) -> dict[str, str]:
    return {name.lower(): value for name, value in request.get("headers", ())}


def _tls(expect: Recorded, tls: TlsOrigination, differ: Differ) -> None:
    seen = expect["upstream_tls"]
    # Without a list of the cluster's, HTTP/1.1 names itself and bytes alone nothing.
    http = "vhost" in expect
    differ("alpn", seen["alpn"], list(tls.alpn) or (["http/1.1"] if http else []))
    differ("client certificate", bool(seen["client_certificate"]), tls.mode in _MESH_CERTIFICATE)


def _response(sent: dict[str, str], expect: Recorded, decision: Decision, differ: Differ) -> None:
    details = expect["details"]
    recorded = {
        name: value for name, value in expect.get("response_headers", {}).items() if name not in _NOT_THE_ROUTES
    }
    replied: list[tuple[str, str]] = []
    if details == "via_upstream":
        replied = [(name, value) for name, _, value in (one.partition("=") for one in _replies(sent))]
    after = decision.apply_response(replied, expect.get("status", 0))
    joined: dict[str, list[str]] = {}
    for name, value in after:
        if name.lower() not in _NOT_THE_ROUTES:
            joined.setdefault(name.lower(), []).append(value)
    differ("response headers", recorded, {name: ",".join(values) for name, values in joined.items()})


def _replies(sent: dict[str, str]) -> list[str]:
    return [one for one in sent.get("x-reply", "").split("|") if one]
