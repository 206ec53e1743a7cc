"""Filter chains: which one takes a connection (Envoy: filter_chain_manager_impl.cc; strict precedence, no way back)."""

from __future__ import annotations

from collections.abc import Iterable

from roadstead import _lowered as low
from roadstead._fallback.hosts import Address, masked, network_of
from roadstead._fallback.matching import fold
from roadstead._fallback.routes import NO_POLICY, Weighted

# Transports of a connection and of a chain.
ANY, TLS, RAW = 0, 1, 2


class Chain:
    """One filter chain, its conditions taken apart. networks: (version, prefix length, bits)."""

    __slots__ = ("at", "lowered", "maker", "networks", "policy", "snis", "weighted")

    def __init__(self, chain: low.Chain, maker: low.Maker | None = None, at: int = 0) -> None:
        self.maker, self.at = maker, at
        self.policy = chain.policy or NO_POLICY
        self.lowered = chain
        self.networks = tuple([network_of(text) for text in chain.cidrs])
        self.snis = tuple([fold(sni) for sni in chain.snis])
        self.weighted = Weighted(chain.destinations)

    @property
    def handle(self) -> object:
        return self.lowered.handle if self.maker is None else self.maker.chain(self.at)


def choose(chains: Iterable[Chain], address: Address | None, sni: str, transport: int) -> Chain | None:
    """The chain for a connection: longest network, then longest server name, then transport; the first of equals.

    Where something specific matches at a level, only what stands below it is looked at."""
    left = list(chains)
    best = max((length for chain in left for length in _lengths(chain, address)), default=-1)
    left = [chain for chain in left if (best in _lengths(chain, address) if best >= 0 else not chain.networks)]
    names = [pattern for chain in left for pattern in chain.snis if sni_matches(pattern, sni)]
    name = max(names, key=_rank, default="")
    left = [chain for chain in left if (name in chain.snis if name else not chain.snis)]
    for wanted in (transport, ANY):
        for chain in left:
            if chain.lowered.transport == wanted:
                return chain
    return None


def _lengths(chain: Chain, address: Address | None) -> list[int]:
    if address is None:
        return []
    return [
        length
        for version, length, bits in chain.networks
        if version == address.version and masked(address, length) == bits
    ]


def sni_matches(pattern: str, sni: str) -> bool:
    """`*.x` takes any name with at least one character before `.x`."""
    if pattern.startswith("*"):
        return len(sni) >= len(pattern) and sni.endswith(pattern[1:])
    return pattern == sni


def _rank(pattern: str) -> tuple[bool, int]:
    return not pattern.startswith("*"), len(pattern)


def is_match_all(chain: Chain) -> bool:
    """A chain without conditions: the default of its listener."""
    return not chain.networks and not chain.snis and chain.lowered.transport == ANY
