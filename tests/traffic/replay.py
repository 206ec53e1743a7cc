"""One recorded request asked of a registry, and its answer in the words of the recording.

A sidecar sees a connection by the address that was dialled (`dst`), and then what comes over it:

* HTTP: `route(host, port, path, method, headers, original_destination=dst)`. The listener of `dst` is asked first; only
  where its port takes HTTP does the Host header count.
* TLS: `connect(ip, port, sni=name)`, "" for none. A router that ends TLS itself (no filter chain takes it) then routes
  what is inside: `route(..., scheme="https")`.
* bytes: `connect(ip, port)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from roadstead import Decision, Endpoint, Registry
from roadstead.errors import NoHealthyEndpoint
from roadstead.mesh import TlsOrigination

Recorded = dict[str, Any]
Answer = dict[str, Any]

CLIENT = "10.244.0.10"
# The connection manager's own answers to what is no proper request: nothing is decided then.
NO_REQUEST = frozenset(
    (
        "missing_host_header", "http1.codec_error", "http.invalid_authority", "path_normalization_failed",
        "query_missing_content_type", "absolute_path_rejected",
    )
)  # fmt: skip
# What Envoy answers by itself, and not its upstream.
_LOCAL = frozenset(
    (
        "route_not_found", "direct_response", "cors_response", "cluster_not_found", "fault_filter_abort",
        "no_healthy_upstream",
    )
)  # fmt: skip
# So many that what happens once in fifty times is among them.
_TRIES = 400
_POLICY_HOSTS = {"passthrough": "allow_any", "refused": "block_all"}
# Headers that Envoy's connection manager and router write or drop whatever the route says.
_ENVOYS = ("x-envoy-", "x-forwarded-", "x-request-id")
_HOP_BY_HOP = frozenset(("te", "keep-alive", "proxy-connection", "upgrade", "expect"))


def split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def decided(registry: Registry, request: Recorded, draw: int | None = None) -> Decision:
    """The decision for a recorded request."""
    ip, port = split(request["dst"])
    source = request.get("src", CLIENT)
    if request["kind"] == "tcp":
        return registry.connect(ip, port, source_ip=source, draw=draw)
    if request["kind"] == "tls":
        decision = registry.connect(ip, port, sni=request.get("sni", ""), source_ip=source, draw=draw)
        if decision.kind != "not_found":
            return decision
    host, path = request.get("host", ""), request.get("path", "/")
    if path.startswith("http://"):
        # The absolute form: the codec takes it apart, and its host wins.
        host, _, path = path.removeprefix("http://").partition("/")
        path = f"/{path}"
    return registry.route(
        host,
        port,
        path,
        request.get("method", "GET"),
        [(name, value.strip()) for name, value in request.get("headers", ())],
        scheme="https" if request["kind"] == "tls" else None,
        source_ip=source,
        original_destination=(ip, port),
        draw=draw,
    )


def outcome(registry: Registry, decision: Decision, request: Recorded, names: Recorded) -> Answer:
    """What the decision says, by the names of `expect`; only what a decision settles."""
    http = request["kind"] in ("http", "h2c") and decision.route_index >= 0
    answer: Answer = {"cluster": decision.cluster_name or None, "response_flags": decision.flags or "-"}
    if decision.kind in ("redirect", "direct_response", "not_found", "no_cluster", "refused"):
        answer |= _own_answer(decision, request)
    else:
        answer |= _forwarded(decision, names)
    if decision.virtual_host is not None:
        answer["vhost"] = getattr(decision.virtual_host, "name", None)
        if decision.route_index >= 0:
            answer["route_index"] = decision.route_index
    if http:
        answer |= _changed(registry, decision, request)
    return answer


def _own_answer(decision: Decision, request: Recorded) -> Answer:
    answer: Answer = {"local": True}
    if request["kind"] != "tcp" and decision.status:
        answer["status"] = decision.status
    if decision.kind == "no_cluster" or (decision.kind == "refused" and decision.flags != "UH"):
        answer["cluster"] = None
    if decision.direct_response is not None and decision.direct_response[1]:
        answer["body"] = decision.direct_response[1].decode()
    if decision.redirect is not None:
        answer["location"] = decision.redirect[1]
    return answer


def _forwarded(decision: Decision, names: Recorded) -> Answer:
    delay, status, grpc = decision.fault or (0.0, 0, -1)
    if status or grpc >= 0:
        flags = "DI,FI" if delay else "FI"
        return {"local": True, "status": status or 200, "response_flags": flags, "cluster": None}
    try:
        endpoint = decision.pick()
    except NoHealthyEndpoint:
        return {"local": True, "status": 503, "response_flags": "UH"}
    return {"local": False, "upstream": reached(endpoint, names)}


def reached(endpoint: Endpoint, names: Recorded) -> str:
    """The endpoint as the recording writes it; what is dialled by name (the dynamic forward proxy) as it was resolved."""
    if endpoint.kind == "unix":
        return endpoint.address
    found = names.get(endpoint.address.lower().removesuffix(".")) if endpoint.kind == "hostname" else None
    address = found[0] if found else endpoint.address
    return f"[{address}]:{endpoint.port}" if ":" in address else f"{address}:{endpoint.port}"


def _changed(registry: Registry, decision: Decision, request: Recorded) -> Answer:
    """The request as it goes upstream."""
    sent = [(name.lower(), value) for name, value in request.get("headers", ())]
    after = decision.apply([(name, value.strip()) for name, value in sent])
    touched = {name.lower() for _, name, _ in decision.request_headers}
    before, now = _joined(sent), _joined(after)
    return {
        "path": decision.path,
        "authority": decision.authority,
        "request_headers_added": {
            name: value for name, value in now.items() if before.get(name) != value and name != "host"
        },
        "request_headers_removed": sorted(name for name in before if name not in now),
        "touched": touched,
        "mirrors": sorted([name for name in decision.mirrors if registry.cluster(name) is not None]),
        "server_name": _server_name(decision),
    }


def _server_name(decision: Decision) -> str | None:
    """The SNI of the TLS that is spoken upstream, "" where there is no TLS; None where each endpoint has its own way."""
    tls = decision.tls
    if not isinstance(tls, TlsOrigination):
        return ""
    if tls.mode == "AUTO":
        return None
    host, colon, port = decision.authority.rpartition(":")
    return (tls.sni or (host if colon and port.isdigit() else decision.authority)).lower()


def _joined(lines: list[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for name, value in lines:
        found.setdefault(name.lower(), []).append(value)
    return {name: ",".join(values) for name, values in found.items()}


def is_decided(expect: Recorded) -> bool:
    """Whether anything was decided: neither refused as malformed, nor ended in the client's own TLS handshake."""
    handshake = expect.get("layer") == "connection" and expect["response_flags"] == "-"
    return expect.get("details") not in NO_REQUEST and not handshake


def draws(expect: Recorded) -> Iterator[int | None]:
    """Those to ask with: where chance decides about faults, one of many has to give what was recorded."""
    if expect.get("random") == "fault":
        numbers = Random(11)
        yield from (numbers.getrandbits(64) for _ in range(_TRIES))
    else:
        yield None


def expected(request: Recorded, cluster: str | None) -> Recorded:
    """What was recorded for a request; where weights chose a cluster, for that one."""
    expect: Recorded = request["expect"]
    outcomes: Recorded = expect.get("by_cluster", {})
    found: Recorded = outcomes.get(cluster or "") or next(
        (one for one in outcomes.values() if one["cluster"] == cluster), expect
    )
    return found


def differences(request: Recorded, answer: Answer) -> dict[str, tuple[object, object]]:
    """Fields in which the recording (first) and the answer (second) disagree."""
    expect = expected(request, answer["cluster"])
    loose = set(expect.get("depends_on_endpoint", ()))
    found: dict[str, tuple[object, object]] = {}

    def differ(name: str, recorded: object, ours: object) -> None:
        if recorded != ours and name not in loose:
            found[name] = (recorded, ours)

    details = expect.get("details", "")
    local = details in _LOCAL or expect["response_flags"] in ("UH", "NR")
    if answer.get("status") == 503 and answer["response_flags"] == "NC":
        differ("flags", expect["response_flags"], "NC")
    differ("cluster", None if local and answer["cluster"] is None else expect["cluster"], answer["cluster"])
    differ("local", local, answer["local"])
    if local:
        differ("flags", expect["response_flags"], answer["response_flags"])
        if "status" in expect:
            differ("status", expect["status"], answer.get("status"))
        if "location" in expect.get("response_headers", {}):
            differ("location", expect["response_headers"]["location"], answer.get("location"))
        if details == "direct_response" and "location" not in answer:
            differ("body", expect.get("body", ""), answer.get("body", expect.get("body", "")))
    for name in ("vhost", "route_index"):
        if name in answer and name in expect and expect["vhost"] not in _POLICY_HOSTS.values():
            differ(name, expect[name], answer[name])
    if "path" in expect and "path" in answer:
        differ("path", expect["path"], answer["path"])
        differ("authority", expect.get("authority", ""), answer["authority"])
        _header_differences(expect, answer, request, differ)
    if "mirrors" in answer and not expect.get("random_mirrors") and not local:
        differ("mirrors", sorted(one["cluster"] for one in expect.get("mirrors", ())), answer["mirrors"])
    if "upstream" in expect and not answer["local"] and answer["upstream"] not in expect.get("upstream_one_of", ()):
        differ("upstream", expect["upstream"], answer["upstream"])
    return found


def _header_differences(expect: Recorded, answer: Answer, request: Recorded, differ: Any) -> None:
    if answer["server_name"] is not None:
        differ("server_name", (expect.get("upstream_tls", {}).get("sni") or "").lower(), answer["server_name"])
    touched = answer["touched"]
    named = {
        token.strip().lower()
        for name, value in request.get("headers", ())
        if name.lower() == "connection"
        for token in value.split(",")
    }

    def ours(name: str) -> bool:
        return name in touched or not (
            name.startswith(_ENVOYS) or name in _HOP_BY_HOP or name in named or name in ("connection", "x-reply")
        )

    recorded = {name: value for name, value in expect.get("request_headers_added", {}).items() if ours(name)}
    differ("added", recorded, {name: value for name, value in answer["request_headers_added"].items() if ours(name)})
    gone = [name for name in expect.get("request_headers_removed", ()) if ours(name)]
    differ("removed", gone, [name for name in answer["request_headers_removed"] if ours(name)])
