"""The PROXY protocol: who a connection is for, as its first bytes (Envoy: upstream_proxy_protocol; HAProxy's versions 1
and 2)."""

from __future__ import annotations

import ipaddress
import socket
from typing import NamedTuple, TypeAlias

from roadstead.mesh.cluster import ProxyProtocol

Address: TypeAlias = "tuple[str, int]"

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
# Version 2 with command LOCAL, of no family and no length; or with PROXY.
_LOCAL, _PROXY = b"\x20\x00\x00\x00", b"\x21"
_UNKNOWN = b"PROXY UNKNOWN\r\n"
_STREAM = {4: b"\x11", 6: b"\x21"}


class Peers(NamedTuple):
    """On whose behalf a connection is made: the client's address, and the one that it dialled."""

    source: Address
    destination: Address


def opening(version: ProxyProtocol, peers: Peers | None, made: socket.socket) -> bytes:
    """What a connection begins with; b"" without a version. peers: None where it is for nobody but this process: then
    version 1 tells the connection's own ends, and version 2 that it is local. made: the connection."""
    if not version:
        return b""
    if version == "V2":
        return _SIGNATURE + (_LOCAL if peers is None else _second(peers))
    if peers is None:
        if made.family not in (socket.AF_INET, socket.AF_INET6):
            return _UNKNOWN
        peers = Peers(made.getsockname()[:2], made.getpeername()[:2])
    return _first(peers)


def _first(peers: Peers) -> bytes:
    source, destination = _ip(peers.source), _ip(peers.destination)
    if source is None or destination is None or source.version != destination.version:
        return _UNKNOWN
    ports = f"{peers.source[1]} {peers.destination[1]}"
    return f"PROXY TCP{source.version} {source} {destination} {ports}\r\n".encode()


def _second(peers: Peers) -> bytes:
    source, destination = _ip(peers.source), _ip(peers.destination)
    if source is None or destination is None or source.version != destination.version:
        return _LOCAL
    told = source.packed + destination.packed
    told += peers.source[1].to_bytes(2, "big") + peers.destination[1].to_bytes(2, "big")
    return _PROXY + _STREAM[source.version] + len(told).to_bytes(2, "big") + told


def _ip(address: Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None for what is no IP. One that is IPv4 in IPv6's clothes is IPv4."""
    try:
        found = ipaddress.ip_address(address[0].partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


__all__ = ["Address", "Peers", "opening"]
