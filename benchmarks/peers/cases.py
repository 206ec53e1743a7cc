"""The native engine beside the Python packages that do a part of what it does."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks import workload
from benchmarks.case import Case
from roadstead import _lowered as low
from roadstead import core

_ASKED = 4096
Make = Callable[[int], Any]


def _hosts(size: int) -> list[str]:
    return [f"svc-{number}.team-{number % 97}.example.com" for number in range(size)]


def _asked(names: list[str]) -> list[str]:
    """Some of them, shuffled, again and again."""
    return random.Random(1).sample(names, min(len(names), _ASKED))


def _networks(size: int) -> list[str]:
    """As in a routing table: half are /24, the rest from /8 to /28."""
    draws = random.Random(11)
    found: dict[str, None] = {}
    while len(found) < size:
        length = 24 if draws.random() < 0.5 else draws.randint(8, 28)
        bits = draws.getrandbits(length) << (32 - length)
        found[f"{bits >> 24}.{bits >> 16 & 255}.{bits >> 8 & 255}.{bits & 255}/{length}"] = None
    return list(found)


def _addresses(networks: list[str]) -> list[str]:
    """Addresses in some of the networks."""
    draws = random.Random(5)
    found = []
    for network in draws.sample(networks, min(len(networks), _ASKED)):
        address, _, length = network.partition("/")
        first = sum(int(part) << shift for part, shift in zip(address.split("."), (24, 16, 8, 0), strict=True))
        bits = first | draws.getrandbits(32 - int(length))
        found.append(f"{bits >> 24}.{bits >> 16 & 255}.{bits >> 8 & 255}.{bits & 255}")
    return found


# What is compared: each makes one structure of `size` entries; measured for memory in a process of its own.


def native_hosts(size: int) -> Any:
    return _engine(_unit(host) for host in _hosts(size))


def native_wildcards(size: int) -> Any:
    return _engine(_unit(f"*.{host}") for host in _hosts(size))


def native_networks(size: int) -> Any:
    return _engine(_unit(f"net-{at}.example.com", network) for at, network in enumerate(_networks(size)))


def dict_hosts(size: int) -> Any:
    return {(host, workload.PORTS[0]): at for at, host in enumerate(_hosts(size))}


def marisa_hosts(size: int) -> Any:
    import marisa_trie

    return marisa_trie.Trie(_hosts(size))


def pygtrie_wildcards(size: int) -> Any:
    import pygtrie

    return pygtrie.Trie((tuple(reversed(host.split("."))), at) for at, host in enumerate(_hosts(size)))


def marisa_wildcards(size: int) -> Any:
    import marisa_trie

    return marisa_trie.Trie(f".{host}"[::-1] for host in _hosts(size))


def pytricia_networks(size: int) -> Any:
    import pytricia

    tree = pytricia.PyTricia()
    for at, network in enumerate(_networks(size)):
        tree[network] = at
    return tree


def uhashring_nodes(size: int) -> Any:
    import uhashring

    return uhashring.HashRing({_endpoint(at).address: {"weight": _endpoint(at).weight} for at in range(size)})


def native_picks(policy: int) -> Make:
    def make(size: int) -> Any:
        return _engine([_unit("pick.example.com", policy=policy, endpoints=size)])

    return make


MADE: dict[str, Make] = {
    "dict": dict_hosts,
    "marisa-trie": marisa_hosts,
    "find": native_hosts,
    "pygtrie": pygtrie_wildcards,
    "marisa-trie, reversed names": marisa_wildcards,
    "find under a wildcard": native_wildcards,
    "pytricia": pytricia_networks,
    "find by address": native_networks,
    "uhashring": uhashring_nodes,
    "pick, ring hash": native_picks(low.RING_HASH),
    "pick, Maglev": native_picks(low.MAGLEV),
}


def _engine(units: Any) -> Any:
    engine = core.engine("native").Engine(seed=1)
    builder = engine.builder()
    for unit in units:
        builder.put(unit)
    engine.publish(builder)
    return engine


def _unit(host: str, address: str = "", *, policy: int = low.LEAST_REQUEST, endpoints: int = 0) -> low.Unit:
    port = workload.PORTS[0]
    name = f"outbound|{port}||{host}"
    addresses = (address,) if address else ()
    service = low.Service(None, host, "default", addresses, (low.Port(port, "http", low.PROTO_HTTP),))
    if not endpoints:
        return low.Unit(host, "", (service,), (), (), ())
    groups = tuple(
        low.LocalityGroup(
            f"region-{part // 2}/zone-{part % 2}", 0, None, tuple(map(_endpoint, range(part, endpoints, 6)))
        )
        for part in range(6)
    )
    cluster = low.Cluster(None, name, low.EDS, low.LbConfig(policy=policy), low.Limits(), groups)
    route = low.Route(None, low.Match(None), low.FORWARD, (low.Destination(name, 1),))
    return low.Unit(host, "", (service,), (cluster,), (low.VirtualHost(None, port, ((host, 0),), (route,)),), ())


def _endpoint(at: int) -> low.Endpoint:
    return low.Endpoint(f"10.0.{at // 250}.{1 + at % 250}", 80, weight=1 + at % 5)


def sections(size: int) -> Iterator[tuple[str, str, list[Case]]]:
    """(title, question, cases) at one size; the first case is what the others are held against."""
    yield f"Peers in Python: {size:,} hosts", "Who owns a host?", _exact(size)
    yield f"Peers in Python: {size:,} wildcards", "Which wildcard is the longest that takes a host?", _wildcards(size)
    yield f"Peers in Python: {size:,} networks", "Which network is the longest that holds an address?", _cidrs(size)


def endpoint_sections(size: int) -> Iterator[tuple[str, str, list[Case]]]:
    """The same for `size` endpoints of one cluster."""
    yield f"Peers in Python: {size} weighted endpoints", "Which endpoint, by weight?", _weighted(size)
    yield f"Peers in Python: {size} endpoints of a ring", "Which endpoint for a key of eight bytes?", _hashed(size)


def _exact(size: int) -> list[Case]:
    hosts, port = _asked(_hosts(size)), workload.PORTS[0]
    known, trie, find = dict_hosts(size), marisa_hosts(size), native_hosts(size).find

    def by_dict(_: None) -> None:
        for host in hosts:
            known[(host, port)]

    def by_trie(_: None) -> None:
        for host in hosts:
            trie[host]

    def by_find(_: None) -> None:
        for host in hosts:
            find(host, port)

    return _cases(len(hosts), {"dict": by_dict, "marisa-trie": by_trie, "find": by_find})


def _wildcards(size: int) -> list[Case]:
    hosts, port = [f"any.{host}" for host in _asked(_hosts(size))], workload.PORTS[0]
    trie, backwards, find = pygtrie_wildcards(size), marisa_wildcards(size), native_wildcards(size).find

    def by_pygtrie(_: None) -> None:
        for host in hosts:
            trie.longest_prefix(tuple(reversed(host.split("."))))

    def by_marisa(_: None) -> None:
        for host in hosts:
            backwards.prefixes(host[::-1])[-1]

    def by_find(_: None) -> None:
        for host in hosts:
            find(host, port)

    runs = {"pygtrie": by_pygtrie, "marisa-trie, reversed names": by_marisa, "find under a wildcard": by_find}
    return _cases(len(hosts), runs)


def _cidrs(size: int) -> list[Case]:
    addresses, port = _addresses(_networks(size)), workload.PORTS[0]
    tree, find = pytricia_networks(size), native_networks(size).find

    def by_pytricia(_: None) -> None:
        for address in addresses:
            tree[address]

    def by_find(_: None) -> None:
        for address in addresses:
            find(address, port)

    return _cases(len(addresses), {"pytricia": by_pytricia, "find by address": by_find})


def _weighted(size: int) -> list[Case]:
    weights = list(range(size))
    total = 0
    for at in range(size):
        total += _endpoint(at).weight
        weights[at] = total
    addresses, choices = [_endpoint(at).address for at in range(size)], random.choices

    def by_choices(_: None) -> None:
        for _number in range(_ASKED):
            choices(addresses, cum_weights=weights)

    runs: dict[str, Callable[[None], None]] = {"random.choices": by_choices}
    policies = {"ROUND_ROBIN": low.ROUND_ROBIN, "LEAST_REQUEST": low.LEAST_REQUEST, "RANDOM, even": low.RANDOM}
    for name, policy in policies.items():
        runs[f"pick, {name}"] = _picking(native_picks(policy)(size))
    return _cases(_ASKED, runs)


def _picking(engine: Any) -> Callable[[None], None]:
    pick = engine.route("pick.example.com", workload.PORTS[0]).pick

    def run(_: None) -> None:
        for _number in range(_ASKED):
            pick()

    return run


def _hashed(size: int) -> list[Case]:
    draws = random.Random(3)
    texts = [f"{draws.getrandbits(32):08x}" for _ in range(_ASKED)]
    keys = [text.encode() for text in texts]
    get = uhashring_nodes(size).get_node

    def by_ring(_: None) -> None:
        for text in texts:
            get(text)

    def by_pick(engine: Any) -> Callable[[None], None]:
        pick = engine.route("pick.example.com", workload.PORTS[0]).pick

        def run(_: None) -> None:
            for key in keys:
                pick(hash_key=key)

        return run

    runs: dict[str, Callable[[None], None]] = {
        "uhashring": by_ring,
        "pick, ring hash": by_pick(native_picks(low.RING_HASH)(size)),
        "pick, Maglev": by_pick(native_picks(low.MAGLEV)(size)),
    }
    return _cases(_ASKED, runs)


def _cases(operations: int, runs: Mapping[str, Callable[[None], None]]) -> list[Case]:
    return [Case(name, run, operations) for name, run in runs.items()]


def bare_loop() -> Case:
    """The loop that every case runs, without an operation in it."""
    rows = list(array("I", range(_ASKED)))

    def run(_: None) -> None:
        for _row in rows:
            pass

    return Case("loop", run, _ASKED)
