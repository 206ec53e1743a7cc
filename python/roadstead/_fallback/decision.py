"""Where one request or connection goes. Only kind and cluster are settled at once; the rest follows when it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeAlias, final

from roadstead import _lowered as low
from roadstead._fallback import formats, rewrite
from roadstead._fallback import hash as hash_policy
from roadstead._fallback.chains import Chain
from roadstead._fallback.cluster import Cluster, Endpoint
from roadstead._fallback.cors import PREFLIGHT
from roadstead._fallback.exchange import Exchange, Terms
from roadstead._fallback.hosts import ip_of, network_text
from roadstead._fallback.lease import ConnectionLease, RequestLease
from roadstead._fallback.matching import fold, read_lines
from roadstead._fallback.overlay import Slot
from roadstead._fallback.retry import PreviousPriorities
from roadstead._fallback.rewrite import Headers
from roadstead._fallback.rng import MASK, mix
from roadstead._fallback.routes import FORWARDED_PROTO, Route, VirtualHost
from roadstead._fallback.service import Service
from roadstead._fallback.snapshot import Snapshot
from roadstead._fallback.xxh64 import xxh64
from roadstead.errors import EndpointsPending, EngineError, NoHealthyEndpoint

Kind: TypeAlias = Literal["forward", "redirect", "direct_response", "passthrough", "refused", "not_found", "no_cluster"]
_Header: TypeAlias = Callable[[str], str | None]
_MILLION = 1_000_000
_STATUS = {"not_found": 404, "refused": 502, "no_cluster": 503}
_FLAGS = {"not_found": "NR", "no_cluster": "NC"}
_POLICIES = {"passthrough": ("policy:allow_any",), "refused": ("policy:registry_only",)}
_WITHOUT_ENDPOINTS = frozenset((low.ORIGINAL_DST, low.DYNAMIC_DNS))
_NO_LINES: list[str] = []
_PREFLIGHT_ANSWER = (200, b"")
# Reason: HTTP on a listener that takes no HTTP, where it is bytes like any others.
AS_CONNECTION = "sniff:as-connection"


@final
class Decision:
    """The one new object of a request."""

    __slots__ = (
        "_at", "_lines", "_notes", "_picks", "_port", "_request", "_rule", "_scheme", "_snapshot", "_vhost",
        "cluster", "draw", "kind",
    )  # fmt: skip

    kind: Kind
    cluster: Cluster | None
    draw: int
    _snapshot: Snapshot
    # host, path, method (None for a connection), headers, source IP, original destination, server name, as given
    _request: tuple[str, str, str | None, Headers | None, str | None, tuple[str, int] | None, str]
    _port: int
    _scheme: str
    _vhost: VirtualHost | None
    _rule: Route | Chain | None
    # Position of the destination, -1 without one.
    _at: int
    # Reasons between that of the host and that of the route.
    _notes: tuple[str, ...]
    _picks: int
    _lines: dict[str, list[str]] | None

    # What conditions read

    @property
    def _given_path(self) -> str:
        return self._request[1]

    @property
    def _given_source(self) -> str | None:
        return self._request[4]

    def _lines_of(self, name: str) -> list[str]:
        """The values of a header (lower case), one for each line."""
        if name.startswith(":"):
            return self._pseudo(name)
        lines = self._lines
        if lines is None:
            self._lines = lines = self._read()
        return lines.get(name, _NO_LINES)

    def _pseudo(self, name: str) -> list[str]:
        host, path, method = self._request[:3]
        if method is None:
            return _NO_LINES
        values = {":authority": host, ":path": path, ":method": method, ":scheme": self._seen_scheme}
        return [values[name]] if name in values else _NO_LINES

    @property
    def _seen_scheme(self) -> str:
        """Envoy takes the scheme that x-forwarded-proto says, if it is one."""
        for line in self._lines_of(FORWARDED_PROTO):
            said = fold(line)
            return said if said in ("http", "https") else self._scheme
        return self._scheme

    @property
    def _is_request(self) -> bool:
        return self._request[2] is not None

    def _read(self) -> dict[str, list[str]]:
        """The headers that the virtual host's routes name; no others are looked at."""
        headers, vhost = self._request[3], self._vhost
        if headers is None or vhost is None:
            return {}
        return read_lines(headers, vhost.names, vhost.name_lengths)

    # What was decided

    @property
    def _route(self) -> low.Route | None:
        if PREFLIGHT in self._notes:
            return None
        return self._rule.lowered if isinstance(self._rule, Route) else None

    @property
    def _destination(self) -> low.Destination | None:
        rule = self._rule
        return None if rule is None or self._at < 0 or rule.weighted is None else rule.weighted.destinations[self._at]

    @property
    def status(self) -> int:
        """Status this process answers with itself, else 0."""
        route = self._route
        if route is not None and self.kind == "redirect" and route.redirect is not None:
            return route.redirect.code
        if self.direct_response is not None:
            return self.direct_response[0]
        return _STATUS.get(self.kind, 0)

    @property
    def flags(self) -> str:
        """Envoy's response flags."""
        if self.kind == "refused" and (not self._is_request or AS_CONNECTION in self._notes):
            return "UH"
        return _FLAGS.get(self.kind, "")

    @property
    def service(self) -> Service | None:
        if self._vhost is not None and self._vhost.service is not None:
            return self._vhost.service
        snapshot, host = self._snapshot, self._request[0]
        if isinstance(self._rule, Chain):
            chain = self._rule.lowered
            return snapshot.service(chain.host, chain.port)
        return snapshot.service(host, self._port) if self._vhost is not None else None

    @property
    def cluster_name(self) -> str:
        if self.cluster is not None:
            return self.cluster.name
        destination = self._destination
        if destination is not None:
            return destination.cluster
        return self._snapshot.outbound.egress_cluster if self.kind == "no_cluster" else ""

    @property
    def route(self) -> object | None:
        """The mesh.Route or mesh.TcpRoute."""
        return None if self._rule is None else self._rule.handle

    @property
    def virtual_host(self) -> object | None:
        return None if self._vhost is None else self._vhost.handle

    @property
    def route_index(self) -> int:
        """Position in the virtual host; -1 without one."""
        return self._rule.index if isinstance(self._rule, Route) else -1

    @property
    def destination_index(self) -> int:
        return self._at

    @property
    def timeout(self) -> float | None:
        return None if self._rule is None else self._rule.policy.timeout

    @property
    def retry(self) -> object | None:
        return None if self._rule is None else self._rule.policy.retry

    @property
    def cors(self) -> object | None:
        return None if self._rule is None else self._rule.policy.cors

    @property
    def tcp_policy(self) -> object | None:
        return None if self._rule is None else self._rule.policy.tcp

    @property
    def connection_pool(self) -> object | None:
        return None if self.cluster is None else self.cluster.connection_pool

    @property
    def application_tls(self) -> bool:
        """The caller itself speaks TLS to the service."""
        return self._scheme == "https"

    @property
    def tls(self) -> object | None:
        """What the mesh originates, or None."""
        return None if self.cluster is None else self.cluster.tls

    # What happens to the request

    @property
    def path(self) -> str:
        """As sent upstream, query included."""
        path = self._request[1]
        rule = self._rule
        if isinstance(rule, Route) and self._at >= 0 and rule.rewrite is not None:
            return rule.rewrite(path)
        return path

    @property
    def authority(self) -> str:
        """Host header as sent upstream. The route is applied after the destination, so it wins."""
        route, destination = self._route, self._destination
        if route is not None and route.host_rewrite:
            return route.host_rewrite
        if destination is not None and destination.host_rewrite:
            return destination.host_rewrite
        return self._request[0]

    def _request_operations(self) -> tuple[low.HeaderOp, ...]:
        """Those of the destination run before those of the route."""
        route, destination = self._route, self._destination
        if route is None:
            return ()
        own = route.request_ops if destination is None else destination.request_ops + route.request_ops
        if not any(operation.format for operation in own):
            return own

        def fact(piece: low.Piece, made: list[low.HeaderOp]) -> str | None:
            return self._fact(piece, 0, lambda name: formats.after(made, name, self._first(name)), lambda _: None)

        return formats.rendered(own, fact)

    def _response_operations(self, status: int, headers: Headers = ()) -> tuple[low.HeaderOp, ...]:
        """The same for the response, then what CORS writes. status: 0: that of an answer of this process."""
        route, destination, rule = self._route, self._destination, self._rule
        found: tuple[low.HeaderOp, ...] = ()
        if route is not None:
            found = route.response_ops if destination is None else destination.response_ops + route.response_ops
        if any(operation.format for operation in found):
            told = {fold(name): value for name, value in reversed(rewrite.pairs(headers))}

            def fact(piece: low.Piece, made: list[low.HeaderOp]) -> str | None:
                def header(name: str) -> str | None:
                    return formats.after(made, name, told.get(fold(name)))

                return self._fact(piece, status or self.status, self._sent_header, header)

            found = formats.rendered(found, fact)
        if isinstance(rule, Route) and rule.cors is not None and not self._is_aborted:
            found += rule.cors.operations(self, PREFLIGHT in self._notes)
        return found

    def _fact(self, piece: low.Piece, status: int, of_request: _Header, of_response: _Header) -> str | None:
        """What a piece of a header's value stands for."""
        if piece.kind in (low.REQUEST_HEADER, low.RESPONSE_HEADER):
            header = of_request if piece.kind == low.REQUEST_HEADER else of_response
            value = header(piece.text)
            return header(piece.other) if value is None and piece.other else value
        if piece.kind == low.SOURCE_IP:
            return self._given_source
        if piece.kind == low.STATUS:
            return str(status)
        return f"{self.cluster_name}{piece.text}" if self.cluster_name else None

    def _first(self, name: str) -> str | None:
        """The first line of a request header that the rules name."""
        lines = self._lines_of(":authority" if fold(name) == "host" else fold(name))
        return lines[0] if lines else None

    def _sent_header(self, name: str) -> str | None:
        """The first value of a request header as it goes upstream."""
        if not isinstance(self._rule, Route) or self._rule.weighted is None:
            return self._first(name)
        if name == ":path":
            return self.path
        if name in (":authority", "host"):
            return self.authority
        return formats.after(self._request_operations(), name, self._first(name))

    @property
    def request_headers(self) -> tuple[tuple[str, str, str], ...]:
        """(op, name, value) in order."""
        return rewrite.words(self._request_operations())

    @property
    def response_headers(self) -> tuple[tuple[str, str, str], ...]:
        return rewrite.words(self._response_operations(0))

    def apply(self, headers: Headers) -> list[tuple[str, str]]:
        """Request headers after the operations."""
        return rewrite.apply(self._request_operations(), headers)

    def apply_response(self, headers: Headers, status: int = 0) -> list[tuple[str, str]]:
        lines = rewrite.pairs(headers)
        return rewrite.apply(self._response_operations(status, lines), lines, keep_empty=PREFLIGHT in self._notes)

    @property
    def redirect(self) -> tuple[int, str] | None:
        """(status, Location)."""
        route = self._route
        if route is None or self.kind != "redirect" or route.redirect is None:
            return None
        host, path = self._request[:2]
        return route.redirect.code, rewrite.location(route, self._seen_scheme, host, path)

    @property
    def direct_response(self) -> tuple[int, bytes] | None:
        if PREFLIGHT in self._notes:
            return _PREFLIGHT_ANSWER
        route = self._route
        if route is None or self.kind != "direct_response":
            return None
        return route.direct_status, route.direct_body

    @property
    def fault(self) -> tuple[float, int, int] | None:
        """(delay seconds, abort status or 0, abort grpc status or -1) that this draw hits, else None."""
        rule = self._rule
        if not isinstance(rule, Route) or rule.lowered.fault is None:
            return None
        fault, part = rule.lowered.fault, mix(self.draw)
        delayed = part % _MILLION < fault.delay_numerator
        aborted = part // _MILLION % _MILLION < fault.abort_numerator
        if not delayed and not aborted:
            return None
        return (
            fault.delay if delayed else 0.0,
            fault.abort_status if aborted else 0,
            fault.abort_grpc_status if aborted else -1,
        )

    @property
    def mirrors(self) -> tuple[str, ...]:
        """Names of the clusters that get a copy; none where a fault answers the request."""
        route = self._route
        if route is None or not route.mirrors:
            return ()
        if self._is_aborted:
            return ()
        part = self.draw % _MILLION
        return tuple([mirror.cluster for mirror in route.mirrors if part < mirror.numerator])

    @property
    def _is_aborted(self) -> bool:
        """A fault answers the request."""
        fault = self.fault
        return fault is not None and (fault[1] > 0 or fault[2] >= 0)

    @property
    def _policies(self) -> Sequence[low.HashPolicy]:
        return () if self._rule is None or PREFLIGHT in self._notes else self._rule.lowered.hash_policies

    @property
    def hash(self) -> int | None:
        """What the hash policies give for this request."""
        policies = self._policies
        return hash_policy.request_hash(policies, self) if policies else None

    @property
    def set_cookies(self) -> tuple[str, ...]:
        """Set-Cookie values for generated hash cookies."""
        policies = self._policies
        return hash_policy.set_cookies(policies, self) if policies else ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """Steps, machine readable, in order."""
        found = [self._host_reason(), *self._notes]
        if self._vhost is not None:
            found.append(f"route:{self.route_index}" if self._rule is not None else "route:none")
        if self._rule is not None and self._at >= 0 and self._rule.weighted is not None and self._rule.weighted.total:
            found.append(f"weight:{self._at}")
        found += _POLICIES.get(self.kind, ())
        if self.kind == "no_cluster":
            found.append("cluster:missing")
        return tuple(found)

    def _host_reason(self) -> str:
        snapshot = self._snapshot
        host = snapshot.normal(self._request[0])
        address = ip_of(host)
        if address is not None and self._vhost is None:
            service = snapshot.service_at(address, self._port)
            for network in snapshot.networks_of(address) if service is not None else ():
                name = snapshot.names.get(network)
                if name is not None and self._port in name.services:
                    return "host:vip" if network[1] == address.max_prefixlen else f"host:cidr:{network_text(network)}"
        name_text = snapshot.name_at(host, self._port) or snapshot.name_of(host)
        if not name_text:
            return "host:unknown"
        return f"host:wildcard:{name_text}" if "*" in name_text else "host:exact"

    # Picking

    def pick(self, *, hash_key: bytes | int | None = None, exclude: Iterable[Endpoint] = ()) -> Endpoint:
        """Choose an endpoint; each call is a new pick. NoHealthyEndpoint when there is none."""
        cluster = self.cluster
        if cluster is None:
            raise self._nowhere()
        if cluster._low.type in _WITHOUT_ENDPOINTS:
            return self._asked_for(cluster)
        state = cluster._state or cluster._current()
        balancer = state.balancer or state.balanced()
        hashed = self._hash_for(hash_key) if balancer.hashes else None
        if exclude != () and (refused := tuple(exclude)):
            return self._pick_other(cluster, hashed, refused)
        number = self._picks
        self._picks = number + 1
        at = balancer.pick(self.draw, number, hashed, 0)
        if at < 0:
            raise self._none_healthy(cluster)
        return state.endpoints[at]

    def _pick_other(
        self,
        cluster: Cluster,
        hashed: int | None,
        refused: tuple[Endpoint, ...],
        priorities: PreviousPriorities | None = None,
    ) -> Endpoint:
        """Up to retry_host_attempts + 1 picks until one is not refused; then the last one is used."""
        state = cluster._current()
        balancer = state.balanced()
        route = self._route
        found: Endpoint | None = None
        for attempt in range((route.retry_host_attempts if route is not None else 0) + 1):
            number = self._picks
            self._picks = number + 1
            loads = None if priorities is None else priorities.loads(balancer.loads)
            at = balancer.pick(self.draw, number, hashed, attempt, loads)
            if at < 0:
                raise self._none_healthy(cluster)
            found = state.endpoints[at]
            if found not in refused:
                break
        if found is None:
            raise self._none_healthy(cluster)
        return found

    def _pick_again(
        self,
        cluster: Cluster,
        hash_key: bytes | int | None,
        refused: tuple[Endpoint, ...],
        priorities: PreviousPriorities | None,
        hashes: bool,
    ) -> Endpoint:
        """The endpoint of a try of an exchange. hashes: the request's hash counts (not for a mirror's)."""
        if cluster._low.type in _WITHOUT_ENDPOINTS:
            return self._asked_for(cluster)
        hashes = hashes and cluster._current().balanced().hashes
        return self._pick_other(cluster, self._hash_for(hash_key) if hashes else None, refused, priorities)

    def _copied(self, cluster: Cluster) -> Decision:
        """The same request sent to another cluster."""
        made = Decision()
        for name in Decision.__slots__:
            setattr(made, name, getattr(self, name))
        made.kind, made.cluster, made._picks = "forward", cluster, 0
        return made

    def _hash_for(self, hash_key: bytes | int | None) -> int | None:
        if hash_key is None:
            return self.hash
        return hash_key & MASK if isinstance(hash_key, int) else xxh64(bytes(hash_key))

    def _nowhere(self) -> Exception:
        if self.kind in ("redirect", "direct_response"):
            return EngineError(f"a {self.kind} decision has no endpoint: this process answers by itself")
        return NoHealthyEndpoint(f"no cluster to pick from: {self.kind} ({', '.join(self.reasons)})")

    def _none_healthy(self, cluster: Cluster) -> Exception:
        cluster._counters.upstream_cx_none_healthy += 1
        want = cluster._live.want
        if want is not None:
            return EndpointsPending(f"{cluster.name}: its names are not resolved yet", want)
        return NoHealthyEndpoint(f"{cluster.name}: no healthy endpoint")

    def _asked_for(self, cluster: Cluster) -> Endpoint:
        """Clusters without endpoints of their own: the original destination, or what was asked for."""
        self._picks += 1
        original = self._request[5]
        if cluster._low.type == low.ORIGINAL_DST and original is not None:
            host, port = original
            port = cluster._low.port_override or port
        elif cluster._low.type == low.ORIGINAL_DST:
            host, port = _dialled(self._request[0], self._port, False)
            port = cluster._low.port_override or port
        else:
            host, port = self._by_name(cluster)
        kind = low.HOSTNAME if ip_of(host) is None else low.IP
        return Endpoint._made(low.Endpoint(host, port, kind), "", 0, Slot())

    def _by_name(self, cluster: Cluster) -> tuple[str, int]:
        """The dynamic forward proxy: what the authority says as it is sent, its port included; a connection's server
        name."""
        if not self._is_request:
            return self._sni or _dialled(self._request[0], self._port, False)[0], self._port
        return _dialled(self.authority, cluster._low.port_override or self._port, True)

    @property
    def _sni(self) -> str:
        """The server name that a connection was made with."""
        return fold(self._request[6])

    def lease(
        self,
        *,
        retry: bool = False,
        pending: bool = False,
        hash_key: bytes | int | None = None,
        exclude: Iterable[Endpoint] = (),
    ) -> RequestLease | ConnectionLease:
        """Pick and count. Overflow at a limit. pending: it waits for a connection until `RequestLease.ready()`."""
        if not self._is_request and (retry or pending):
            raise EngineError("retry and pending are for requests: this decision is a connection's")
        endpoint = self.pick(hash_key=hash_key, exclude=exclude)
        cluster = self.cluster
        if cluster is None:
            raise self._nowhere()
        if self._is_request:
            return RequestLease._taken(cluster, endpoint, retry, pending)
        return ConnectionLease._taken(cluster, endpoint)

    def exchange(
        self,
        now: int | None = None,
        *,
        trusted: bool = False,
        replayable: bool = True,
        received: bool = True,
        pending: bool = False,
        hash_key: bytes | int | None = None,
    ) -> Exchange:
        """Carry the request out: its faults, tries, time limits and mirrors. EngineError for a connection."""
        if not self._is_request:
            raise EngineError("an exchange is of a request: this decision is a connection's")
        return Exchange._begun(self, now, Terms(trusted, replayable, received, pending, hash_key))

    def __repr__(self) -> str:
        return f"<Decision {self.kind} {self.cluster_name}>"


def _dialled(text: str, port: int, own_port: bool) -> tuple[str, int]:
    """Host and port to dial for a host text. own_port: a port in the text counts."""
    end = -1 if text.count(":") > 1 and ip_of(text) is not None else rewrite.port_start(text)
    if end >= 0:
        digits = text[end + 1 :]
        if own_port and digits.isascii() and digits.isdigit() and 0 < int(digits) < 65536:
            port = int(digits)
        text = text[:end]
    return text.strip("[]"), port
