"""Services: what the registry knows under a host name."""

from __future__ import annotations

from typing import Literal

import msgspec

from roadstead.mesh.origin import Origin

Resolution = Literal["STATIC", "DNS", "DNS_ROUND_ROBIN", "NONE", "DYNAMIC_DNS"]


class Port(msgspec.Struct, frozen=True, gc=False):
    """A service port. protocol: a word of roadstead.protocol, "" = sniffed (Istio: Unsupported). target_port 0: the
    number itself."""

    number: int
    name: str
    protocol: str
    target_port: int = 0


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One host of one ServiceEntry with one of its addresses (Istio: model.Service).

    address: IP or CIDR text, "0.0.0.0" = none. auto_addresses: (v4, v6) from status, "" = none.
    allocated: the same also for a client that does not use them."""

    host: str
    namespace: str
    object_name: str
    address: str = "0.0.0.0"
    auto_addresses: tuple[str, str] = ("", "")
    ports: tuple[Port, ...]
    resolution: Resolution
    mesh_external: bool
    subject_alt_names: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    export_to: frozenset[str] = frozenset()
    selector: dict[str, str] | None = None
    creation_time: float = 0.0
    connect_strategy: str = ""
    traffic_distribution: str = ""
    origin: Origin
    allocated: tuple[str, str] = ("", "")

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its virtual addresses and CIDRs as compiled for its node; none for 0.0.0.0."""
        own = () if self.address == "0.0.0.0" else (self.address,)
        return own + tuple([auto for auto in self.auto_addresses if auto])

    @property
    def is_dynamic(self) -> bool:
        """Whether the name in each request is looked up; DYNAMIC_DNS means that for wildcards only."""
        return self.resolution == "DYNAMIC_DNS" and self.host.startswith("*")
