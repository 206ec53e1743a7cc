"""The egress listeners of one client: which of them has what."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from roadstead.compile.inputs import HostView
from roadstead.compile.virtual_services import PreparedVirtualService
from roadstead.compile.visibility import EgressListener
from roadstead.mesh import Port
from roadstead.mesh.listener import OWN_PROXY

ANY_PORT = 0


class Egress(msgspec.Struct, frozen=True):
    """The listeners of the Sidecar in force, none without one. locked: ports that have one of their own. tables: the
    route tables that are for every port, with the position of their listener, -1: none."""

    listeners: tuple[EgressListener, ...] = ()
    locked: frozenset[int] = frozenset()
    tables: dict[str, int] = {}

    def listener_for(self, port: int) -> EgressListener | None:
        """The one with the route table of a port; None where there is only one."""
        if len(self.listeners) > 1:
            for listener in self.listeners:
                if not listener.table and listener.port in (port, ANY_PORT):
                    return listener
        return None

    def hearing(self, view: HostView, port: int) -> EgressListener | None:
        """The one that takes a host on a port; None where there is only one."""
        for place in view.listeners if len(self.listeners) > 1 else ():
            listener = self.listeners[place]
            if not listener.table and listener.port in (port, ANY_PORT):
                return listener
        return None

    def in_table(self, view: HostView, table: str) -> bool:
        """Whether the listener of a table takes a host."""
        place = self.tables[table]
        return not view.imported and place >= 0 and (len(self.listeners) < 2 or place in view.listeners)

    def selected(self, rules: Sequence[PreparedVirtualService], table: str) -> Sequence[PreparedVirtualService]:
        """Of VirtualServices that any listener selects those that the listener of a table does."""
        place = self.tables[table]
        if place < 0:
            return ()
        return rules if len(self.listeners) < 2 else selected(rules, self.listeners[place])

    def spoken(self, view: HostView, port: Port) -> tuple[tuple[str, bool], ...]:
        """The protocols a port of a host is heard with: a listener for a port has its own (True)."""
        if port.number not in self.locked:
            return ((port.protocol, False),)
        found = []
        for place in view.listeners or range(len(self.listeners)):
            listener = self.listeners[place]
            if listener.port in (port.number, ANY_PORT) and not listener.table:
                found.append((listener.protocol, True) if listener.port else (port.protocol, False))
        return tuple(dict.fromkeys(found))


def egress_of(listeners: tuple[EgressListener, ...], *, own_proxy: bool) -> Egress:
    """own_proxy: the client has an HTTP proxy for itself, with what the listener for every port has."""
    tables = {listener.table: at for at, listener in enumerate(listeners) if listener.table}
    if own_proxy:
        every = (at for at, listener in enumerate(listeners) if not listener.protocol)
        tables[OWN_PROXY] = next(every, -1) if listeners else 0
    return Egress(listeners, frozenset([listener.port for listener in listeners if listener.port]), tables)


def selected(rules: Sequence[PreparedVirtualService], listener: EgressListener) -> list[PreparedVirtualService]:
    """The VirtualServices that a listener selects."""
    return [rule for rule in rules if listener.virtual_service(rule.namespace, rule.written)]
