"""Listeners while services add to them: who keeps what where several want it (Istio: core/listener.go
buildSidecarOutboundListener, mergeTCPFilterChains)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from typing import NamedTuple

from roadstead.protocol import Protocol
from roadstead.xds.messages import core
from roadstead.xds.messages import listener as table
from roadstead.xds.resources.endpoints import listen_address, socket_address
from roadstead.xds.resources.filters import http_inspector, tls_inspector
from roadstead.xds.schema import Message

HTTP_PROTOCOLS = ("http/1.1", "h2c")
_HANDSHAKE = 15.0


class Condition(NamedTuple):
    """What a connection must be like for a chain. Texts in any order mean the same."""

    cidrs: frozenset[str] = frozenset()
    snis: frozenset[str] = frozenset()
    protocols: tuple[str, ...] = ()
    raw: bool = False


ANYTHING = Condition()
SNIFFED_HTTP = Condition(protocols=HTTP_PROTOCOLS, raw=True)


class Chain(NamedTuple):
    """snis: the condition's, as often as they are written."""

    condition: Condition
    filters: list[Message]
    socket: Message | None = None
    name: str = ""
    snis: tuple[str, ...] = ()


class Draft:
    """One address and port. The first that wants something has it; what comes later and wants the same is dropped.

    bound: somebody dials the port itself; else connections come by interception."""

    __slots__ = ("_taken", "address", "bound", "chains", "first", "more", "only_http", "port")

    def __init__(self, address: str, port: int, more: Iterable[str] = (), *, bound: bool = False) -> None:
        self.address = address
        self.port = port
        self.more = tuple(more)
        self.bound = bound
        self.chains: list[Chain] = []
        self._taken: set[Condition] = set()
        self.first: str | None = None
        self.only_http = True

    def takes(self, protocol: str) -> bool:
        """Whether a port of that protocol may join."""
        if self.first is None:
            self.first = protocol
        if not Protocol(self.first).shares_with(protocol):
            return False
        self.only_http = self.only_http and Protocol(protocol).is_http
        return True

    def restart(self, protocol: str) -> None:
        """Give up what is there for a port of that protocol."""
        self.first, self.chains = protocol, []
        self._taken.clear()

    def add(self, chains: Iterable[Chain]) -> list[Chain]:
        """Add the chains of one service's port, but for those with a condition that another has before; what was
        added. The first service's own may have the same condition: Envoy then refuses them, and gets them all the same.
        """
        if not self.chains:
            added = list(chains)
            self._taken.update(chain.condition for chain in added)
        else:
            added = []
            for chain in chains:
                if chain.condition not in self._taken:
                    self._taken.add(chain.condition)
                    added.append(chain)
        self.chains += added
        return added

    def listener(self, fallback: Message | None, detection_timeout: float) -> Message:
        """The listener. fallback: the chain of connections that fit no other; None: they are closed."""
        chains = list(self.chains)
        default = fallback
        everything = next((chain for chain in chains if chain.condition == ANYTHING), None)
        if everything is not None:
            default = None
            if len(chains) > 1:
                chains.remove(everything)
                default = chain_message(everything)
        by_protocol = any(chain.condition.protocols == HTTP_PROTOCOLS for chain in chains)
        by_name = any(chain.condition.snis or chain.socket is not None for chain in chains)
        return table.LISTENER(
            name=f"{self.address}_{self.port}",
            address=listen_address(self.address, self.port),
            additional_addresses=[
                table.ADDITIONAL_ADDRESS(address=socket_address(address, self.port)) for address in self.more
            ],
            filter_chains=[chain_message(chain) for chain in chains],
            default_filter_chain=default,
            listener_filters=([tls_inspector()] if by_name else []) + ([http_inspector()] if by_protocol else []),
            # Only finding out whether it is HTTP may be given up.
            listener_filters_timeout=detection_timeout if by_protocol else 0.0,
            continue_on_listener_filters_timeout=True,
            bind_to_port=None if self.bound else False,
            traffic_direction="OUTBOUND",
            max_connections_to_accept_per_socket_event=1 if self.bound else None,
        )


def chain_message(chain: Chain) -> Message:
    """A filter chain."""
    return table.FILTER_CHAIN(
        filter_chain_match=None if chain.condition == ANYTHING else _match(chain.condition, chain.snis),
        filters=chain.filters,
        transport_socket=chain.socket,
        name=chain.name,
        transport_socket_connect_timeout=_HANDSHAKE,
    )


def _match(condition: Condition, snis: Iterable[str]) -> Message:
    return table.FILTER_CHAIN_MATCH(
        prefix_ranges=[_range(cidr) for cidr in sorted(condition.cidrs)],
        server_names=sorted(snis or condition.snis),
        transport_protocol="raw_buffer" if condition.raw else "",
        application_protocols=condition.protocols,
    )


def _range(cidr: str) -> Message:
    address, _, length = cidr.partition("/")
    return core.CIDR_RANGE(address_prefix=address, prefix_len=int(length))


def networks(cidrs: Iterable[str]) -> frozenset[str]:
    """Ranges without the bits that do not count; the range of everything is no condition."""
    return frozenset([str(ip_network(cidr, strict=False)) for cidr in cidrs])
