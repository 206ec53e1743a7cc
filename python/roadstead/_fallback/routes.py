"""Virtual hosts made ready for requests: routes with their conditions as functions, found by index or scan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roadstead import _lowered as low
from roadstead._fallback import formats, matching
from roadstead._fallback.cors import HEADERS, Cors
from roadstead._fallback.matching import Condition, TextTest
from roadstead._fallback.rewrite import PathRewrite, path_rewrite
from roadstead.errors import EngineError

if TYPE_CHECKING:
    from roadstead._fallback.decision import Decision
    from roadstead._fallback.service import Service

# How a path is tested.
_PREFIX, _EXACT, _TEST = 0, 1, 2
# Up to so many routes a scan is faster than the index.
_SCAN = 8


FORWARDED_PROTO = "x-forwarded-proto"


class Weighted:
    """Destinations of a route or chain. names: cluster names; total: sum of weights, 0 for a single destination."""

    __slots__ = ("destinations", "names", "total")

    def __init__(self, destinations: tuple[low.Destination, ...]) -> None:
        if not destinations:
            raise EngineError("a forwarding route without destinations")
        self.destinations = destinations
        self.names = tuple([destination.cluster for destination in destinations])
        self.total = 0 if len(destinations) == 1 else sum(destination.weight for destination in destinations)
        if len(destinations) > 1 and self.total <= 0:
            raise EngineError("the weights of a route's destinations add up to nothing")

    def choose(self, draw: int) -> int:
        """Position of the destination for a draw."""
        if not self.total:
            return 0
        rest = draw % self.total
        for at, destination in enumerate(self.destinations):
            rest -= destination.weight
            if rest < 0:
                return at
        raise AssertionError("the draw is below the total")


NO_POLICY = low.RoutePolicy()


class Route:
    """One route: `lowered` and what was made of it. at: its position among the routes of the unit."""

    __slots__ = (
        "at",
        "conditions",
        "cors",
        "index",
        "kind",
        "lowered",
        "maker",
        "policy",
        "rewrite",
        "test",
        "text",
        "weighted",
    )

    def __init__(self, route: low.Route, index: int, maker: low.Maker | None, at: int) -> None:
        self.maker, self.at = maker, at
        self.policy = route.policy or NO_POLICY
        self.lowered = route
        self.index = index
        match = route.match
        self.kind, self.text, self.test = _path(match.path)
        self.conditions: tuple[Condition, ...] = (
            *[matching.header_condition(header) for header in match.headers],
            *[matching.query_condition(query) for query in match.queries],
        )
        self.rewrite: PathRewrite | None = path_rewrite(route)
        self.cors = None if route.cors is None else Cors(route.cors)
        self.weighted: Weighted | None = Weighted(route.destinations) if route.action == low.FORWARD else None
        if route.action == low.REDIRECT and route.redirect is None:
            raise EngineError("a redirect route without a redirect")

    @property
    def handle(self) -> object:
        return self.lowered.handle if self.maker is None else self.maker.route(self.at)

    def takes_path(self, path: str) -> bool:
        if self.kind == _PREFIX:
            return path.startswith(self.text)
        return path == self.text if self.kind == _EXACT else self.test(path)

    def takes(self, path: str, request: Decision) -> bool:
        """All conditions hold; `path` is without query."""
        if self.kind == _PREFIX:
            if not path.startswith(self.text):
                return False
        elif not self.takes_path(path):
            return False
        for holds in self.conditions:
            if not holds(request):
                break
        else:
            return True
        return False

    def first_failure(self, path: str, request: Decision) -> str:
        """For explain: the first condition that does not hold, "" when all do."""
        match = self.lowered.match
        if not self.takes_path(path):
            return "path " + (matching.describe(match.path) if match.path is not None else 'prefix "/"')
        texts = [
            *[matching.describe_header(header) for header in match.headers],
            *[matching.describe_query(query) for query in match.queries],
        ]
        for holds, text in zip(self.conditions, texts, strict=True):
            if not holds(request):
                return text
        return ""


def _path(match: low.ValueMatch | None) -> tuple[int, str, TextTest]:
    if match is None:
        return _PREFIX, "/", str.isascii
    if not match.ignore_case and match.kind in (low.PREFIX, low.EXACT):
        return (_PREFIX if match.kind == low.PREFIX else _EXACT), match.value, str.isascii
    return _TEST, "", matching.text_test(match)


class VirtualHost:
    """Domains of one port and their routes. names: headers that the routes read, for matching or hashing."""

    __slots__ = (
        "_exact", "_lengths", "_others", "_prefixes", "_scan", "at", "everything", "lowered", "maker", "name_lengths",
        "names", "plain", "routes", "service",
    )  # fmt: skip

    def __init__(
        self,
        host: low.VirtualHost,
        service: Service | None,
        maker: low.Maker | None = None,
        at: int = 0,
        first_route: int = 0,
    ) -> None:
        """at: its position in the unit; first_route: how many routes stand before its own in the unit."""
        self.maker, self.at = maker, at
        self.lowered = host
        self.service = service
        # Its service is there and speaks no TLS: a request without scheme is plain HTTP.
        self.plain = service is not None and service._protocols.get(host.port) != low.PROTO_TLS
        self.routes = tuple(
            [Route(route, index, maker, first_route + index) for index, route in enumerate(host.routes)]
        )
        self.names = frozenset(
            matching.header_name(name) for route in host.routes for name in _names(route) if not name.startswith(":")
        ) - {":authority"}
        self.name_lengths = frozenset([len(name) for name in self.names])
        first = self.routes[0] if self.routes else None
        # A first route that takes every path, as most services have it.
        takes_all = first is not None and not first.conditions and (first.kind, first.text) == (_PREFIX, "/")
        self.everything = first if takes_all else None
        self._scan = len(self.routes) <= _SCAN
        self._exact: dict[str, list[Route]] = {}
        self._prefixes: dict[str, list[Route]] = {}
        self._lengths: list[int] = []
        self._others = [route for route in self.routes if route.kind == _TEST]
        if not self._scan:
            self._make_index()

    @property
    def handle(self) -> object:
        return self.lowered.handle if self.maker is None else self.maker.virtual_host(self.at)

    def _make_index(self) -> None:
        """For each exact path and each prefix, all routes whose path condition may hold there, in order."""
        exact: dict[str, list[Route]] = {}
        prefixes: dict[str, list[Route]] = {}
        for route in self.routes:
            if route.kind != _TEST:
                (exact if route.kind == _EXACT else prefixes).setdefault(route.text, []).append(route)
        # The longest first: the longest that a path begins with has all the shorter ones in its list.
        self._lengths = sorted({len(prefix) for prefix in prefixes}, reverse=True)
        for table, texts in ((self._exact, {**prefixes, **exact}), (self._prefixes, prefixes)):
            for text in texts:
                found = [*self._others, *(exact.get(text, ()) if table is self._exact else ())]
                for length in self._lengths:
                    if length <= len(text):
                        found += prefixes.get(text[:length], ())
                table[text] = sorted(found, key=_index)

    def find(self, request: Decision, path: str) -> Route | None:
        """The first route that takes the request; `everything` is for the caller to try first."""
        if "?" in path or "#" in path:
            path = matching.bare(path)
        for route in self.routes if self._scan else self._candidates(path):
            if route.takes(path, request):
                return route
        return None

    def _candidates(self, path: str) -> list[Route]:
        """Routes whose path condition may hold, in order."""
        found = self._exact.get(path)
        if found is not None:
            return found
        for length in self._lengths:
            found = self._prefixes.get(path[:length])
            if found is not None:
                return found
        return self._others


def _index(route: Route) -> int:
    return route.index


def _names(route: low.Route) -> list[str]:
    read = [header.name for header in route.match.headers]
    if route.action == low.REDIRECT or ":scheme" in map(matching.fold, read):
        read.append(FORWARDED_PROTO)
    if route.cors is not None:
        read += HEADERS
    for operations in (route.request_ops, route.response_ops):
        read += formats.names(operations)
    for destination in route.destinations:
        read += formats.names(destination.request_ops) + formats.names(destination.response_ops)
    for policy in route.hash_policies:
        if policy.kind == low.HASH_HEADER:
            read.append(policy.name)
        elif policy.kind == low.HASH_COOKIE:
            read.append("cookie")
    return read
