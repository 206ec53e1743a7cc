"""Hosts that mean the same but for names: which they are, and what they mean with blanks in the place of the names.

A host takes part where everything about it came as form and names (`config.forms`): one ServiceEntry, at most one
VirtualService and at most one DestinationRule, each for this very host. Two hosts of the same forms whose names are
equal to each other, and to the names that settings know, in the same places are compiled alike (`Alike.of`). What they
mean is found by compiling such documents full of blanks, with nothing else in sight (`blank_unit`): if that asks for
anything beyond the host itself, which a scope notes, the hosts are compiled one by one.
"""

from __future__ import annotations

from itertools import islice
from typing import TypeAlias

import msgspec

from roadstead.compile.endpoints import CLUSTER_ID
from roadstead.compile.facts import RoutingFacts
from roadstead.compile.filling import MOST_BLANKS, blank, could_be_blank, escaped
from roadstead.compile.host import compile_host
from roadstead.compile.index import Index
from roadstead.compile.inputs import Env
from roadstead.compile.scope import ClientScope
from roadstead.compile.touch import PEERS
from roadstead.config import DEFAULT_NAMESPACE, Resource, ResourceKey, Spec
from roadstead.config.forms import Form, Written
from roadstead.config.meta import NOWHERE
from roadstead.mesh import HostMesh

Likeness: TypeAlias = tuple[tuple[int, ...], tuple[Form, ...]]
"""What hosts have in common that are compiled alike: where the names of their documents, one document after the other,
stand among all different ones (those that settings know come first), and the forms of the documents."""


class BlankUnit(msgspec.Struct, frozen=True):
    """A unit full of blanks (`compile.filling`), and what it noted."""

    mesh: HostMesh
    notes: tuple[str, ...]


class Alike:
    """The likenesses of the hosts of one client."""

    __slots__ = ("_constants", "_endings", "_env", "_index", "_namespaces", "possible")

    def __init__(self, scope: ClientScope) -> None:
        env = scope.env
        mesh, node = env.mesh, env.node
        self._env: Env = env
        self._index: Index = scope.index
        # A Sidecar, serviceEntryVisibility and serviceSettings compare hosts and namespaces with patterns, gateways of
        # networks have addresses of their own, and routers see other rules.
        self.possible = (
            node.type == "sidecar"
            and scope.sidecar is None
            and env.networks is None
            and (node.cluster == CLUSTER_ID or not mesh.service_settings)
            and (mesh.service_entry_visibility is None or not mesh.service_entry_visibility.apply_to_sidecars)
        )
        known = (
            node.namespace,
            mesh.root_namespace,
            DEFAULT_NAMESPACE,
            *mesh.default_service_export_to,
            *mesh.default_virtual_service_export_to,
            *mesh.default_destination_rule_export_to,
            *node.ips,
        )
        self._constants = {name: place for place, name in enumerate(dict.fromkeys(known))}
        self._namespaces = (node.namespace, mesh.root_namespace)
        # Names near the client's own domain, and those of the cluster, have shorter forms.
        self._endings = tuple({f".{domain.rpartition('.')[2]}" for domain in (node.domain, scope.index.domain)})

    def of(self, host: str) -> tuple[Likeness, tuple[str, ...]] | None:
        """The likeness of a service host, and its names; None where it has to be looked at by itself."""
        documents = self._documents(host)
        if documents is None:
            return None
        places = self._constants.copy()
        used: tuple[str, ...] = ()
        for written in documents:
            used += written.names
        likeness = (
            tuple([places.setdefault(name, len(places)) for name in used]),
            tuple([written.form for written in documents]),
        )
        return likeness, tuple(places)

    def _documents(self, host: str) -> list[Written] | None:
        """All there is about a host."""
        entries = self._index.services.get(host)
        if entries is None or len(entries) != 1 or host.endswith(self._endings):
            return None
        entry = entries[0]
        facts: list[RoutingFacts] = [entry]
        roots = self._index.roots
        for name in roots.overlapping(host):
            if name != host:
                return None
            facts += roots.get(name) or ()
        # As a destination it may be drawn in by VirtualServices of other hosts.
        if any(all(fact is not known for known in facts) for fact in self._index.importers.get(host) or ()):
            return None
        for namespace in dict.fromkeys((entry.namespace, *self._namespaces)):
            rules = self._index.rules.get(namespace)
            if rules is not None:
                for name in rules.best(host):
                    if name != host:
                        return None
                    facts += rules.get(name) or ()
        found = [fact.written for fact in facts if fact.written is not None]
        # At most one of each kind: of several it is their order that counts.
        if len(found) < len(facts) or len({type(fact) for fact in facts}) < len(facts):
            return None
        return found

    def blank_unit(self, likeness: Likeness) -> BlankUnit | None:
        """What hosts of a likeness mean, with a blank in the place of each name that no setting knows; None where they
        have to be looked at one by one."""
        constants = list(self._constants)
        index = Index(self._index.domain)
        resources: dict[ResourceKey, Resource[Spec]] = {}
        places, forms = likeness
        left = iter(places)
        for form in forms:
            own = list(islice(left, len(form.kinds)))
            if max(own) >= MOST_BLANKS or could_be_blank(form.text):
                return None
            names = [
                constants[place] if place < len(constants) else escaped(blank(kind, place))
                for kind, place in zip(form.kinds, own, strict=True)
            ]
            resource = form.resource(names, NOWHERE)
            resources[resource.key] = resource
            index.put(resource)
        scope = ClientScope(self._env, index, resources.__getitem__)
        (host,) = [literal for name in index.services for literal in index.literals(name)]
        mesh = compile_host(scope, host)
        notes, ports = scope.notes()
        # Without any PeerAuthentication the answer is the same for every namespace.
        asks = ports or any(not token.startswith(PEERS) or self._index.peers for token in notes)
        return None if mesh is None or asks else BlankUnit(mesh, tuple(sorted(notes)))


__all__ = ["Alike", "BlankUnit", "Likeness"]
