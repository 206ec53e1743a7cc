"""What this process answers by itself, in Envoy's words (local replies)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from roadstead._fallback.cors import PREFLIGHT

if TYPE_CHECKING:
    from roadstead._fallback.decision import Decision

TIMED_OUT = b"upstream request timeout"
_FLAGS_DETAILS = {"not_found": "route_not_found", "no_cluster": "cluster_not_found"}
# Grpc::Utility::httpToGrpcStatus.
_UNKNOWN = 2
_AS_GRPC = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}


class Reply(NamedTuple):
    """An answer before it is put in the words of the request. grpc_status -1: follows from the status."""

    status: int
    flag: str
    details: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    grpc_status: int = -1

    def as_sent(self, grpc: bool) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        """Status, headers and body. A gRPC request is answered by trailers only."""
        if grpc:
            code = self.grpc_status if self.grpc_status >= 0 else _AS_GRPC.get(self.status, _UNKNOWN)
            own: tuple[tuple[str, str], ...] = (("content-type", "application/grpc"), ("grpc-status", str(code)))
            if self.body:
                own += (("grpc-message", _percent(self.body)),)
            return 200, self.headers + own, b""
        own = (("content-type", "text/plain"),) if self.body else ()
        return self.status, self.headers + own, self.body


def own_answer(decision: Decision, faults: bool) -> Reply | None:
    """The answer of a fault or of the decision itself; None where the request is sent on."""
    fault = decision.fault if faults else None
    if fault is not None and (fault[1] or fault[2] >= 0):
        status = fault[1] if fault[2] < 0 else 200
        return Reply(status, "FI", "fault_filter_abort", b"fault filter abort", (), fault[2])
    kind = decision.kind
    if kind in ("forward", "passthrough"):
        return None
    details = "cors_response" if PREFLIGHT in decision._notes else _FLAGS_DETAILS.get(kind, "direct_response")
    if decision.redirect is not None:
        return Reply(decision.status, decision.flags, details, b"", (("location", decision.redirect[1]),))
    body = b"" if decision.direct_response is None else decision.direct_response[1]
    return Reply(decision.status, decision.flags, details, body)


def reset_reply(reason: str, again: bool) -> Reply:
    """The answer to a try that broke before its response."""
    words = reason.replace("_", " ")
    retried = "retried and the latest " if again else ""
    return Reply(
        502 if reason == "protocol_error" else 503,
        "",
        f"upstream_reset_before_response_started{{{reason}}}",
        f"upstream connect error or disconnect/reset before headers. {retried}reset reason: {words}".encode(),
        (("x-envoy-overloaded", "true"),) if reason == "overflow" else (),
    )


def _percent(body: bytes) -> str:
    """As grpc-message is written."""
    return "".join([chr(byte) if 0x20 <= byte < 0x7E and byte != 0x25 else f"%{byte:02X}" for byte in body])
