"""Units of hosts that mean the same but for names (`compile.alike`): compiled and lowered once, then put into the
engine as names alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from roadstead import _lowered as low
from roadstead.compile.alike import Alike, Likeness
from roadstead.compile.filling import Names, filling
from roadstead.compile.scope import ClientScope
from roadstead.config import ResourceKey
from roadstead.errors import EngineError
from roadstead.registry.advice import tls_rules
from roadstead.registry.lower import Lowering
from roadstead.registry.made import UnitMaker
from roadstead.registry.rejected import Table, rejected_tables, served

if TYPE_CHECKING:
    from roadstead._core import Builder, Engine, HostColumn, Template


Row: TypeAlias = tuple[str, tuple[str, ...], UnitMaker]
"""A host: key, names, maker of its unit."""


class UnitTemplate:
    """What the hosts of one likeness mean. unit: as columns, with places for names. clusters, tls_rules, notes: make
    those of a host from its names."""

    __slots__ = ("_template", "clusters", "notes", "tls_rules", "unit")

    def __init__(
        self,
        unit: low.Unit,
        template: Template,
        clusters: tuple[str, ...],
        rules: tuple[ResourceKey, ...],
        notes: tuple[str, ...],
    ) -> None:
        """clusters, rules, notes: with places for names, too."""
        self._template = template
        self.unit = unit
        self.clusters = filling(clusters)
        self.tls_rules = filling(rules)
        self.notes = filling(notes)

    def put(self, builder: Builder, column: Callable[[Iterable[str]], HostColumn], rows: Sequence[Row]) -> None:
        """The units of the hosts with these names. EngineError where one is refused; nothing is put then."""
        columns = [column(names) for names in zip(*[names for _, names, _ in rows], strict=True)]
        builder.put_rows(self._template, columns, [maker for _, _, maker in rows])


class Templates:
    """The templates of one node, as long as its settings stay."""

    __slots__ = ("_alike", "_engine", "_known", "_lowering", "_met", "_rejected")

    def __init__(
        self, scope: ClientScope, engine: Engine, lowering: Lowering, rejected: frozenset[Table] | None = None
    ) -> None:
        """rejected: tables that Envoy does not take; None: what it takes does not matter."""
        self._alike = Alike(scope)
        self._engine = engine
        self._rejected = rejected
        self._lowering = lowering
        self._known: dict[Likeness, UnitTemplate | None] = {}
        self._met: set[Likeness] = set()

    def of(self, key: str) -> tuple[UnitTemplate, tuple[str, ...]] | None:
        """The template of a service host, and the host's names; None where it has to be compiled by itself."""
        found = self._alike.of(key) if self._alike.possible else None
        if found is None:
            return None
        likeness, names = found
        if likeness not in self._known:
            # The first host is compiled by itself: it may be the only one.
            self._known[likeness] = None
            self._met.add(likeness)
        elif likeness in self._met:
            self._met.discard(likeness)
            self._known[likeness] = self._template(likeness, names)
        template = self._known[likeness]
        return None if template is None else (template, names)

    def _template(self, likeness: Likeness, names: Names) -> UnitTemplate | None:
        try:
            blank = self._alike.blank_unit(likeness)
            if blank is None:
                return None
            places = [low.place(index) for index in range(len(names))]
            mesh, notes = filling((blank.mesh, blank.notes))(places)
            if self._rejected is not None and (rejected_tables(mesh) or served(mesh, self._rejected) is not mesh):
                return None
            unit = self._lowering.unit(mesh)
            # Hosts share what is read of their policies, so no name may be in it (TLS of the mesh has a server name).
            if filling(policies := _policies(unit))(names) is not policies:
                return None
            clusters = tuple([cluster.name for cluster in unit.clusters])
            return UnitTemplate(unit, self._engine.template(unit), clusters, tls_rules(mesh), notes)
        except (ValueError, EngineError):
            # A name that does not stay whole, or stands where the engine wants none.
            return None


def _policies(unit: low.Unit) -> tuple[object, ...]:
    routes = [route.policy for host in unit.virtual_hosts for route in host.routes]
    chains = [chain.policy for chain in unit.chains]
    return (*[cluster.policy for cluster in unit.clusters], *routes, *chains)


__all__ = ["Row", "Templates", "UnitTemplate"]
