"""Random meshes, edits and requests for the engine, from one `random.Random`: few names, so that everything collides.

Routes, chains and clusters carry as handle the features they have, so that what a decision used can be counted."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tests.core.units import PRESENT, endpoint, exact, prefix, regex, suffix

from roadstead import _lowered as low

Features = tuple[str, ...]

HOSTS = ("a.test", "b.test", "x.a.test", "y.x.a.test", "Mixed.Case", "c.example")
WILDCARDS = ("*.test", "*.a.test", "*.x.a.test", "*.example", "*")
ODD_DOMAINS = ("*-x.test", "a.*", "a.te*", "*a.test", "10.0.0.7", "a.test:80")
ADDRESSES = ("240.0.0.1", "240.0.0.2", "2001:db8::1")
NETWORKS = ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "2001:db8::/32")
HTTP_PORTS, TLS_PORTS, TCP_PORTS = (80, 8080), (443, 8443), (3306, 9000)
ASKED = (
    *HOSTS, "A.TEST", "a.test.", "b.test:80", "z.a.test", "z.x.a.test.", "q-x.test", "a.org", "a.tex", "za.test",
    "nobody", "mixed.case", "240.0.0.1", "240.0.0.2:3306", "[2001:db8::1]", "2001:db8::9", "10.0.0.7", "10.1.9.9",
    "10.1.2.3", "10.1.2.3:80", "99.9.9.9", "s.example",
)  # fmt: skip

Value = tuple[str, low.ValueMatch, tuple[str, ...]]
"""Feature, match, texts that it takes."""

TEXTS: tuple[Value, ...] = (
    ("exact", exact("v1"), ("v1",)),
    ("exact-any-case", exact("V2", ignore_case=True), ("v2", "V2")),
    ("prefix", prefix("pre"), ("pre", "prefix")),
    ("prefix-any-case", prefix("PRE", ignore_case=True), ("preX", "PrE")),
    ("suffix", suffix("end"), ("end", "the-end")),
    ("regex", regex("[a-z]+[0-9]?"), ("abc", "v1")),
    ("present", PRESENT, ("", "anything")),
)
PATHS: tuple[tuple[str, low.ValueMatch | None, tuple[str, ...]], ...] = (
    ("none", None, ("/", "/any")),
    ("exact", exact("/e"), ("/e",)),
    ("exact-any-case", exact("/CASE", ignore_case=True), ("/case", "/CaSe")),
    ("prefix", prefix("/p"), ("/p", "/p/q", "/pq")),
    ("prefix-longer", prefix("/p/q"), ("/p/q/r",)),
    ("prefix-any-case", prefix("/API", ignore_case=True), ("/api/x", "/Api")),
    ("suffix", suffix(".js"), ("/a.js", "/p.js")),
    ("regex", regex("/r[0-9]+(/.*)?"), ("/r1", "/r22/x")),
    ("present", PRESENT, ("/", "*")),
)
HEADER_NAMES = ("x-a", "x-b", "cookie", ":method", ":authority", ":scheme")
QUERY_NAMES = ("k", "q")
OPERATIONS = (low.SET, low.ADD, low.REMOVE, low.ADD_IF_ABSENT)
OPERATION_WORDS = ("set", "add", "remove", "add-if-absent")
POLICY_WORDS = ("round-robin", "least-request", "random", "ring-hash", "maglev", "cluster-provided")
TYPE_WORDS = ("eds", "strict-dns", "logical-dns", "original-dst", "dynamic-dns")
HASH_WORDS = ("header", "cookie", "source-ip", "query")


class Request(NamedTuple):
    """Arguments of `route`."""

    host: str
    port: int | None
    path: str
    method: str
    headers: list[tuple[str, str]] | dict[str, str] | None
    scheme: str | None
    source_ip: str | None
    original_destination: tuple[str, int] | None


class Connection(NamedTuple):
    """Arguments of `connect`."""

    host: str
    port: int
    sni: str | None
    source_ip: str | None


class Edit(NamedTuple):
    """One change of an engine: what it is called, and how it is made."""

    name: str
    apply: Callable[[Any], None]


class Mesh:
    """Random units, and the requests and edits that fit them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.units: dict[str, low.Unit] = {}

    # Small decisions

    def maybe(self, share: float) -> bool:
        return self.chance.random() < share

    def some(self, choices: Iterable[Any], most: int) -> tuple[Any, ...]:
        """A few different ones, perhaps none."""
        pool = list(choices)
        return tuple(self.chance.sample(pool, min(len(pool), self.chance.randint(0, most))))

    # Units

    def unit(self, key: str) -> low.Unit:
        """A host with all that may belong to it; now and then only a part."""
        chance = self.chance
        host = chance.choice(HOSTS if self.maybe(0.7) else WILDCARDS)
        clusters = tuple([self.cluster(f"{host}|{chance.randint(1, 3)}") for _ in range(chance.randint(0, 3))])
        names = [cluster.name for cluster in clusters] + [f"{host}|1", "missing"] * self.maybe(0.15)
        names = names or [f"{host}|1"]
        return low.Unit(
            key,
            str(chance.randint(0, 3)),
            (self.service(host),) if self.maybe(0.9) else (),
            clusters,
            tuple([self.virtual_host(host, names) for _ in range(chance.randint(0, 3))]),
            tuple([self.chain(host, names) for _ in range(chance.randint(0, 3))]),
        )

    def service(self, host: str) -> low.Service:
        protocols = {80: low.PROTO_HTTP, 443: low.PROTO_TLS, 3306: low.PROTO_TCP, 8443: low.PROTO_TLS}
        ports = [
            low.Port(number, f"p{number}", protocols.get(number, self.chance.choice((low.PROTO_HTTP, low.PROTO_AUTO))))
            for number in (*HTTP_PORTS, *TLS_PORTS, *TCP_PORTS)
            if self.maybe(0.7)
        ]
        addresses = (*self.some(ADDRESSES, 1), *self.some(NETWORKS, 1)) if self.maybe(0.4) else ()
        return low.Service(None, host, "ns", addresses, tuple(ports))

    def cluster(self, name: str) -> low.Cluster:
        chance = self.chance
        kind = chance.choices(
            (low.EDS, low.STRICT_DNS, low.LOGICAL_DNS, low.ORIGINAL_DST, low.DYNAMIC_DNS), (12, 2, 2, 1, 1)
        )[0]
        lb = self.lb()
        limits = low.Limits()
        if self.maybe(0.3):
            most = [chance.choice((0, 1, 3, 0xFFFFFFFF)) for _ in range(4)]
            limits = low.Limits(most[0], most[1], most[2], most[3])
            if self.maybe(0.3):
                budget = (chance.choice((0.0, 20.0, 50.0)), chance.randint(0, 2))
                limits = limits._replace(retry_budget=budget, retry_budget_interval=chance.choice((0.0, 0.01, 10.0)))
        features = [f"lb:{POLICY_WORDS[lb.policy]}", f"cluster:{TYPE_WORDS[kind]}"]
        features += ["lb:locality-weighted"] * lb.locality_weighted
        outliers = self.outliers() if self.maybe(0.5) else None
        features += ["outliers"] * (outliers is not None)
        features += ["lb:slow-start"] * bool(lb.slow_start_window) + ["lb:panic"] * bool(lb.panic_threshold)
        port = chance.choice((0, 0, 9999)) if kind == low.ORIGINAL_DST else 0
        return low.Cluster(tuple(features), name, kind, lb, limits, self.groups(), port, outlier_detection=outliers)

    def outliers(self) -> low.OutlierDetection:
        """Quick to eject, and quick to bring back."""
        chance = self.chance
        base = chance.choice((0.5, 2.0, 30.0))
        return low.OutlierDetection(
            consecutive_5xx=chance.choice((0, 1, 1, 2)),
            enforcing_consecutive_5xx=chance.choice((100, 100, 50, 0)),
            consecutive_gateway_failure=chance.choice((0, 1, 2)),
            enforcing_consecutive_gateway_failure=chance.choice((100, 30, 0)),
            consecutive_local_origin_failure=chance.choice((1, 2)),
            enforcing_consecutive_local_origin_failure=chance.choice((100, 100, 50)),
            split_external_local_origin_errors=self.maybe(0.4),
            interval=chance.choice((0.001, 0.25, 10.0)),
            base_ejection_time=base,
            max_ejection_time=base * chance.choice((1, 3)),
            max_ejection_time_jitter=chance.choice((0.0, 0.0, 1.5)),
            max_ejection_percent=chance.choice((10, 34, 50, 100, 100)),
            always_eject_one_host=self.maybe(0.3),
            error_codes=chance.choice(((), (), (429, 503))),
        )

    def lb(self) -> low.LbConfig:
        chance = self.chance
        return low.LbConfig(
            policy=chance.randint(low.ROUND_ROBIN, low.CLUSTER_PROVIDED),
            panic_threshold=chance.choice((0, 0, 50, 100)),
            overprovisioning=chance.choice((140, 140, 100, 250)),
            locality_weighted=self.maybe(0.4),
            ring_min=chance.choice((1, 10, 128)),
            ring_max=chance.choice((200, 8 * 1024 * 1024)),
            table_size=chance.choice((11, 251, 1021)),
            choice_count=chance.choice((1, 2, 2, 3)),
            active_request_bias=chance.choice((1.0, 1.0, 0.0, 0.5, 2.0, -1.0)),
            slow_start_window=chance.choice((0.0, 0.0, 0.0, 30.0)),
            slow_start_aggression=chance.choice((1.0, 2.0, 0.0)),
            slow_start_min_percent=chance.choice((10.0, 0.0, 50.0)),
        )

    def groups(self) -> tuple[low.LocalityGroup, ...]:
        chance = self.chance
        return tuple(
            [
                low.LocalityGroup(
                    f"r/z{number}",
                    chance.choices((0, 1, 2), (5, 3, 1))[0],
                    chance.choice((None, 0, 1, 2, 7)),
                    self.endpoints(),
                )
                for number in range(chance.choices((0, 1, 2, 3), (1, 5, 5, 3))[0])
            ]
        )

    def endpoints(self) -> tuple[low.Endpoint, ...]:
        chance = self.chance
        equal = self.maybe(0.5)
        made = []
        for _ in range(chance.randint(0, 5)):
            text = f"10.0.0.{chance.randint(1, 9)}:{chance.choice((80, 8080))}"
            health = chance.choices(
                (low.UNKNOWN, low.HEALTHY, low.UNHEALTHY, low.DRAINING, low.DEGRADED), (8, 2, 2, 1, 2)
            )[0]
            key = chance.choice(("", "", "", "key-a", "key-b"))
            made.append(endpoint(text, weight=1 if equal else chance.randint(1, 5), health=health, hash_key=key))
        return tuple(made)

    def virtual_host(self, host: str, clusters: list[str]) -> low.VirtualHost:
        tls = self.maybe(0.2)
        port = self.chance.choice(TLS_PORTS if tls else HTTP_PORTS)
        domains = [(host.lower(), self.chance.randint(0, 1))] if self.maybe(0.9) else []
        domains += [
            (name.lower(), self.chance.randint(1, 3)) for name in self.some((*HOSTS, *WILDCARDS, *ODD_DOMAINS), 2)
        ]
        # Now and then so many routes that they are indexed.
        count = self.chance.choice((0, 1, 2, 3, 4, 30)) if self.maybe(0.9) else 1
        routes = tuple([self.route(clusters) for _ in range(count)])
        return low.VirtualHost(host, port, tuple(dict(domains).items()), routes, tls)

    # Routes

    def route(self, clusters: list[str]) -> low.Route:
        word, path, _ = self.chance.choice(PATHS)
        headers = tuple([self.header() for _ in range(self.chance.choice((0, 0, 1, 1, 2)))])
        queries = tuple([self.query() for _ in range(self.chance.choice((0, 0, 0, 1)))])
        features = [f"path:{word}"]
        for header in headers:
            features.append(f"header:{_word_of(header.match)}")
            features += ["header:inverted"] * header.invert + ["header:missing-as-empty"] * header.missing_as_empty
            features += [header.name] * header.name.startswith(":")
        features += [f"query:{_word_of(query.match)}" for query in queries]
        made = low.Route(None, low.Match(path, headers, queries), low.FORWARD)
        kind = self.chance.choices(("forward", "redirect", "direct"), (7, 2, 1))[0]
        if kind == "forward":
            made = self.forwarding(made, clusters, features)
        elif kind == "redirect":
            made = self.redirecting(made, features)
        else:
            features.append("direct-response")
            made = made._replace(action=low.DIRECT_RESPONSE, direct_status=418, direct_body=b"\x00tea")
        if self.maybe(0.3):
            made = made._replace(response_ops=self.operations(features, "response"))
        if self.maybe(0.2):
            made = made._replace(cors=self.cors(features))
        return made._replace(handle=tuple(features))

    def forwarding(self, made: low.Route, clusters: list[str], features: list[str]) -> low.Route:
        chance = self.chance
        made = made._replace(
            destinations=self.destinations(clusters, features), retry_host_attempts=chance.choice((0, 1, 5))
        )
        rewrite = chance.choice(("", "", "prefix", "regex"))
        if rewrite == "prefix":
            made = made._replace(prefix_rewrite=chance.choice(("/", "/new", "/n/")))
        elif rewrite == "regex":
            made = made._replace(
                regex_rewrite=chance.choice((("^/(.)(.*)$", "/\\2/\\1"), ("[a-z]", "<\\0>"), ("x*", "-")))
            )
        features += [f"rewrite:{rewrite}"] * bool(rewrite)
        if self.maybe(0.2):
            features.append("rewrite:host")
            made = made._replace(host_rewrite="route.test")
        if self.maybe(0.3):
            made = made._replace(request_ops=self.operations(features, "request"))
        if self.maybe(0.2):
            features.append("mirror")
            shares = [chance.choice((0, 300_000, 1_000_000)) for _ in range(2)]
            made = made._replace(mirrors=tuple([low.Mirror(f"mirror{share}", share) for share in shares]))
        if self.maybe(0.3):
            made = made._replace(hash_policies=self.hash_policies(features))
        if self.maybe(0.2):
            made = made._replace(fault=self.fault(features))
        return made

    def destinations(self, clusters: list[str], features: list[str]) -> tuple[low.Destination, ...]:
        count = self.chance.choice((1, 1, 2, 3))
        features += ["weighted"] * (count > 1)
        made = []
        for number in range(count):
            one = low.Destination(self.chance.choice(clusters), self.chance.randint(0, 3) + (number == 0))
            if count > 1 and self.maybe(0.3):
                one = one._replace(
                    request_ops=self.operations(features, "request"), response_ops=self.operations(features, "response")
                )
            if self.maybe(0.15):
                features.append("rewrite:host-of-destination")
                one = one._replace(host_rewrite="destination.test")
            made.append(one)
        return tuple(made)

    def redirecting(self, made: low.Route, features: list[str]) -> low.Route:
        action = low.Redirect(code=self.chance.choice((301, 302, 307)))
        fields: dict[str, tuple[str, ...]] = {"scheme": ("https", "http"), "host": ("new.test",)}
        for name, values in fields.items():
            if self.maybe(0.4):
                features.append(f"redirect:{name}")
                action = action._replace(**{name: self.chance.choice(values)})  # type: ignore[arg-type]
        if self.maybe(0.4):
            features.append("redirect:port")
            action = action._replace(port=8443)
        where = self.chance.choice(("", "path", "prefix"))
        features += [f"redirect:{where}"] * bool(where)
        if where == "path":
            action = action._replace(path=self.chance.choice(("/moved", "/moved?n=1")))
        elif where == "prefix":
            action = action._replace(prefix_rewrite="/moved")
        features.append("redirect")
        return made._replace(action=low.REDIRECT, redirect=action)

    def operations(self, features: list[str], side: str) -> tuple[low.HeaderOp, ...]:
        made = []
        for _ in range(self.chance.randint(1, 3)):
            kind = self.chance.choice(OPERATIONS)
            features.append(f"{side}:{OPERATION_WORDS[kind]}")
            name = self.chance.choice(("x-a", "X-B", "x-new"))
            if kind != low.REMOVE and self.maybe(0.3):
                features.append(f"{side}:format")
                made.append(
                    low.HeaderOp(kind, name, "", tuple([self.piece() for _ in range(self.chance.randint(1, 3))]))
                )
                continue
            made.append(low.HeaderOp(kind, name, "" if kind == low.REMOVE else self.chance.choice(("one", "two", ""))))
        return tuple(made)

    def piece(self) -> low.Piece:
        chance = self.chance
        kind = chance.randint(low.TEXT, low.CLUSTER)
        if kind in (low.REQUEST_HEADER, low.RESPONSE_HEADER):
            names = ("x-a", "X-B", "x-new", "cookie", "host", ":path", ":authority", ":method", ":scheme")
            return low.Piece(kind, chance.choice(names), chance.choice(("", *names)), chance.choice((0, 0, 2)))
        return low.Piece(kind, chance.choice(("", ";")), "", chance.choice((0, 3)))

    def hash_policies(self, features: list[str]) -> tuple[low.HashPolicy, ...]:
        made = []
        for _ in range(self.chance.randint(1, 3)):
            kind = self.chance.randint(low.HASH_HEADER, low.HASH_QUERY)
            features.append(f"hash:{HASH_WORDS[kind]}")
            names = {
                low.HASH_HEADER: ("x-a", "X-B", ":authority"),
                low.HASH_COOKIE: ("ck",),
                low.HASH_QUERY: QUERY_NAMES,
            }
            ttl = self.chance.choice((None, 0.0, 60.5)) if kind == low.HASH_COOKIE else None
            features += ["hash:made-cookie"] * (ttl is not None)
            terminal = self.maybe(0.2)
            features += ["hash:terminal"] * terminal
            name = self.chance.choice(names.get(kind, ("",)))
            made.append(
                low.HashPolicy(kind, name, ttl, self.chance.choice(("", "/p")), (("SameSite", "Lax"),), terminal)
            )
        return tuple(made)

    def cors(self, features: list[str]) -> low.Cors:
        chance = self.chance
        word, origin, _ = chance.choice(TEXTS)
        features += ["cors", f"origin:{word}"]
        allowed = (chance.choice(("", "*", "x-a")) for _ in range(3))
        return low.Cors((origin,), *allowed, chance.choice(("", "5")), self.maybe(0.5), self.maybe(0.5))

    def fault(self, features: list[str]) -> low.Fault:
        delays, aborts = self.chance.choice((0, 400_000, 1_000_000)), self.chance.choice((0, 300_000))
        features += ["fault:delay"] * bool(delays) + ["fault:abort"] * bool(aborts)
        grpc = self.chance.choice((-1, 14))
        return low.Fault(1.5, delays, aborts, 503 if grpc < 0 else 0, grpc)

    def header(self) -> low.HeaderMatch:
        name = self.chance.choice(HEADER_NAMES)
        if name.startswith(":"):
            value = {":method": "GET", ":authority": "a.test", ":scheme": "http"}[name]
            return low.HeaderMatch(name, exact(value), self.maybe(0.2))
        _, match, _ = self.chance.choice(TEXTS)
        return low.HeaderMatch(name, match, self.maybe(0.3), self.maybe(0.3))

    def query(self) -> low.QueryMatch:
        return low.QueryMatch(self.chance.choice(QUERY_NAMES), self.chance.choice(TEXTS)[1])

    def chain(self, host: str, clusters: list[str]) -> low.Chain:
        chance = self.chance
        port = chance.choice((*TLS_PORTS, *TCP_PORTS))
        addresses = self.some(ADDRESSES, 2) if self.maybe(0.4) else ()
        cidrs = self.some(NETWORKS, 2) if self.maybe(0.4) else ()
        snis = self.some(("a.test", "*.test", "*.a.test", "sni.test"), 2) if self.maybe(0.5) else ()
        transport = chance.randint(0, 2)
        features = ["chain:address"] * bool(addresses) + ["chain:network"] * bool(cidrs) + ["chain:sni"] * bool(snis)
        features.append(("chain:any", "chain:tls", "chain:raw")[transport])
        count = chance.choice((1, 1, 2))
        features += ["chain:weighted"] * (count > 1)
        made = [low.Destination(chance.choice(clusters), chance.randint(1, 3)) for _ in range(count)]
        policies = (low.HashPolicy(low.HASH_SOURCE_IP),) if self.maybe(0.3) else ()
        features += ["chain:hash"] * bool(policies)
        return low.Chain(tuple(features), host, port, addresses, cidrs, snis, transport, tuple(made), policies)

    # Requests

    def request(self) -> Request:
        """Half of them are made for a route that is there."""
        hosts = [host for unit in self.units.values() for host in unit.virtual_hosts if host.routes and host.domains]
        if hosts and self.maybe(0.7):
            return self.fitting(self.chance.choice(hosts))
        chance = self.chance
        return Request(
            chance.choice(ASKED),
            chance.choice((None, *HTTP_PORTS, *TLS_PORTS, *TCP_PORTS, 1)),
            chance.choice(chance.choice(PATHS)[2]) + chance.choice(("", "", "?k=v1", "?q&k=", "#f")),
            chance.choice(("GET", "POST")),
            self.headers(),
            chance.choice((None, None, None, "http", "https")),
            chance.choice((None, "127.0.0.1", "2001:db8::5")),
            ("192.0.2.9", 4321) if self.maybe(0.2) else None,
        )

    def headers(self) -> list[tuple[str, str]] | dict[str, str] | None:
        lines = [
            (
                self.chance.choice(("x-a", "X-A", "x-b", "cookie", "x-other")),
                self.chance.choice(self.chance.choice(TEXTS)[2]),
            )
            for _ in range(self.chance.randint(0, 4))
        ]
        return self.chance.choice((lines, dict(lines), None))

    def fitting(self, host: low.VirtualHost) -> Request:
        """What a route of the virtual host takes, unless another comes first."""
        chance = self.chance
        route = chance.choice(host.routes)
        match = route.match
        texts = {path: texts for _, path, texts in PATHS}
        path = chance.choice(texts[match.path])
        queries = [f"{query.name}={self.text(query.match)}" for query in match.queries]
        if queries or self.maybe(0.2):
            path += "?" + "&".join([*queries, chance.choice(("z=1", "q=v1"))])
        lines = [("x-other", "1")]
        method = "GET"
        for header in match.headers:
            if header.name == ":method":
                method = "POST" if header.invert else "GET"
            elif header.invert and header.match is not PRESENT:
                lines.append((header.name, "!"))
            elif (
                not header.invert
                and not header.name.startswith(":")
                and (not header.missing_as_empty or self.maybe(0.5))
            ):
                lines.append((header.name.title() if self.maybe(0.2) else header.name, self.text(header.match)))
        if route.cors is not None and self.maybe(0.8):
            lines.append(("Origin", self.text(route.cors.origins[0])))
            if method == "GET" and self.maybe(0.5):
                method = "OPTIONS"
                asked_for = ("method", "headers") if self.maybe(0.5) else ("method",)
                lines += [(f"access-control-request-{name}", chance.choice(("PUT", "x-b"))) for name in asked_for]
        if self.maybe(0.3):
            lines.append(("cookie", chance.choice(("ck=abc", 'x=1; ck="q"', "ck="))))
        name = chance.choice(host.domains)[0]
        asked = name.replace("*", chance.choice(("z", "z.y"))) if "*" in name else name
        if self.maybe(0.1):
            asked = asked.upper() + chance.choice((".", ":80", ""))
        scheme = chance.choice((None, "https")) if host.tls else chance.choice((None, None, "http"))
        given = lines if self.maybe(0.7) else dict(lines)
        return Request(asked, host.port, path, method, given, scheme, chance.choice((None, "127.0.0.1")), None)

    def text(self, match: low.ValueMatch) -> str:
        return str(self.chance.choice({one: texts for _, one, texts in TEXTS}[match]))

    def connection(self) -> Connection:
        chance = self.chance
        names = ("a.test", "z.test", "q.a.test", "SNI.test", "nobody")
        sni = chance.choice(names) if self.maybe(0.5) else None
        return Connection(
            chance.choice(ASKED), chance.choice((*TLS_PORTS, *TCP_PORTS, 1)), sni, chance.choice((None, "127.0.0.1"))
        )

    # Edits

    def edit(self) -> Edit:
        """A change, remembered here, that `apply` makes in an engine."""
        chance = self.chance
        kind = chance.choices(("put", "delete", "endpoints", "health", "outbound"), (5, 2, 4, 6, 1))[0]
        clusters = [cluster for unit in self.units.values() for cluster in unit.clusters]
        if kind == "endpoints" and clusters:
            name, groups = chance.choice(clusters).name, self.groups()
            return Edit(kind, lambda engine: engine.update_endpoints(name, groups))
        if kind == "health" and clusters:
            cluster = chance.choice(clusters)
            address, port = f"10.0.0.{chance.randint(1, 9)}", chance.choice((80, 8080))
            mark = chance.choice((low.UNKNOWN, low.HEALTHY, low.UNHEALTHY, low.DEGRADED))
            return Edit(kind, lambda engine: engine.set_health(cluster.name, address, port, mark))
        if kind == "outbound":
            policy = chance.choice((low.ALLOW_ANY, low.ALLOW_ANY, low.REGISTRY_ONLY, low.GATEWAY))
            egress = chance.choice(("", "", "a.test|1", "missing"))
            return Edit(kind, lambda engine: _publish_outbound(engine, policy, egress))
        if kind == "delete" and self.units:
            key = chance.choice(list(self.units))
            del self.units[key]
            return Edit(kind, lambda engine: _publish(engine, (), (key,)))
        made = [self.unit(f"unit{chance.randint(0, 15)}") for _ in range(chance.randint(1, 3))]
        self.units |= {one.key: one for one in made}
        return Edit("put", lambda engine: _publish(engine, made, ()))


def _word_of(match: low.ValueMatch) -> str:
    return next((word for word, one, _ in TEXTS if one == match), "exact")


def _publish(engine: Any, put: Iterable[low.Unit], delete: Iterable[str]) -> None:
    builder = engine.builder()
    for key in delete:
        builder.delete(key)
    for one in put:
        builder.put(one)
    engine.publish(builder)


def _publish_outbound(engine: Any, policy: int, egress: str) -> None:
    builder = engine.builder()
    builder.set_outbound(policy, egress_cluster=egress)
    engine.publish(builder)


def features() -> set[str]:
    """All that routes, chains and clusters may be marked with."""
    words = [word for word, _, _ in TEXTS]
    found = {f"path:{word}" for word, _, _ in PATHS} | {
        f"{part}:{word}" for part in ("header", "query") for word in words
    }
    found |= {"header:inverted", "header:missing-as-empty", ":method", ":authority", ":scheme"}
    found |= {f"{side}:{word}" for side in ("request", "response") for word in OPERATION_WORDS}
    found |= {f"hash:{word}" for word in (*HASH_WORDS, "made-cookie", "terminal")}
    found |= {f"lb:{word}" for word in (*POLICY_WORDS, "locality-weighted", "slow-start", "panic")}
    found |= {f"cluster:{word}" for word in TYPE_WORDS} | {"outliers"}
    found |= {f"rewrite:{word}" for word in ("prefix", "regex", "host", "host-of-destination")}
    found |= {f"chain:{word}" for word in ("address", "network", "sni", "any", "tls", "raw", "weighted", "hash")}
    found |= {"redirect", *[f"redirect:{word}" for word in ("scheme", "host", "port", "path", "prefix")]}
    found |= {f"origin:{word}" for word in words} | {"request:format", "response:format"}
    return found | {"direct-response", "weighted", "mirror", "fault:delay", "fault:abort", "cors"}
