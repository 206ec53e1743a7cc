"""Whether a field of the configuration does anything: what becomes of a mesh without it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

import msgspec
from tests.golden.recorded import TYPES, case_of, services, text_of

from roadstead.config import MeshConfig, MeshNetworks, Resource, Spec
from roadstead.config.dialect import Dialect
from roadstead.config.read import read, read_mesh, read_networks
from roadstead.mesh import Mesh, Node
from roadstead.registry.lower import Lowering
from roadstead.registry.registry import Registry
from roadstead.xds.json import to_json
from roadstead.xds.resources import resources

DATA = Path(__file__).parent / "data"
APPS = {"namespace": "apps", "ips": ("10.1.1.1",), "locality": "region1/zone1/sub1"}
_T = TypeVar("_T")


class Sample(msgspec.Struct, frozen=True):
    """A configuration and the clients to look at."""

    resources: tuple[Resource[Spec], ...]
    nodes: tuple[Node, ...]
    mesh: MeshConfig
    networks: MeshNetworks
    dialect: Dialect = "istio"

    def without(self, struct: type[msgspec.Struct], field: str) -> Sample:
        """The same where every such field is left out."""
        kept = tuple(msgspec.structs.replace(one, spec=_without(one.spec, struct, field)) for one in self.resources)
        return msgspec.structs.replace(self, resources=kept, mesh=_without(self.mesh, struct, field))

    def outcome(self) -> tuple[bytes, bytes]:
        """What Envoy is sent, and what the engine is given, for all clients."""
        sent, given = [], []
        text = b"\n---\n".join(map(_document, self.resources))
        for node in self.nodes:
            registry = Registry.from_text(text, node=node, mesh=self.mesh, networks=self.networks, dialect=self.dialect)
            mesh = registry.mesh
            made = resources(mesh, node)
            sent.append([[to_json(one) for one in getattr(made, kind)] for kind in TYPES] + [services(mesh)])
            given.append(_lowered(mesh))
        return msgspec.json.encode(sent), repr(given).encode()


def sample(name: str) -> Sample:
    """A case of tests/golden, or a file of data."""
    if (DATA / f"{name}.yaml").exists():
        return _own(name)
    case = case_of(text_of(name))
    nodes = tuple(client.node() for client in case.clients.values())
    return Sample(
        _read(case.config.encode(), "istio"), nodes, _mesh(case.mesh.encode()), _networks(case.networks.encode())
    )


@cache
def before(name: str) -> tuple[bytes, bytes]:
    """The outcome of a sample as it is."""
    return sample(name).outcome()


def _own(name: str) -> Sample:
    dialect: Dialect = "extended" if name == "extended" else "istio"
    mesh = DATA / f"{name}-mesh.yaml"
    node = Node(type="router" if name == "router" else "sidecar", labels={"app": "router", "tier": "gold"}, **APPS)  # type: ignore[arg-type]
    return Sample(
        _read((DATA / f"{name}.yaml").read_bytes(), dialect),
        (node,),
        _mesh(mesh.read_bytes() if mesh.exists() else b""),
        _networks(b""),
        dialect,
    )


def _document(resource: Resource[Spec]) -> bytes:
    parts = {"metadata": resource.metadata, "spec": resource.spec, "status": resource.status}
    return msgspec.json.encode({"apiVersion": resource.api_version, "kind": resource.kind, **parts})


def _read(text: bytes, dialect: Dialect) -> tuple[Resource[Spec], ...]:
    return tuple(one for found in read(text, "", dialect) for one in found.resources)


def _mesh(text: bytes) -> MeshConfig:
    value = read_mesh(text).value
    assert value is not None
    return value


def _networks(text: bytes) -> MeshNetworks:
    value = read_networks(text).value
    assert value is not None
    return value


def _lowered(mesh: Mesh) -> list[object]:
    lowering = Lowering()
    proxy = mesh.proxy
    unknown = (mesh.outbound, mesh.egress_cluster, proxy.dynamic_dns, proxy.unknown_tls, proxy.paths)
    reached = (proxy.connect_timeout, proxy.keepalive)
    units = [lowering.unit(host) for host in mesh.hosts.values()]
    # What decisions hand out is compiled again when somebody reads it.
    read = [(host.services, host.clusters, host.virtual_hosts, host.chains) for host in mesh.hosts.values()]
    return [unknown, reached, units, read]


def _without(value: _T, struct: type[msgspec.Struct], field: str) -> _T:
    if isinstance(value, msgspec.Struct):
        changes = {}
        for info in msgspec.structs.fields(type(value)):
            found = getattr(value, info.name)
            kept = info.default if type(value) is struct and info.name == field else _without(found, struct, field)
            if kept is msgspec.NODEFAULT:
                assert info.default_factory is not msgspec.NODEFAULT
                kept = info.default_factory()
            if kept is not found:
                changes[info.name] = kept
        return msgspec.structs.replace(value, **changes) if changes else value
    if isinstance(value, dict):
        return {key: _without(item, struct, field) for key, item in value.items()}  # type: ignore[return-value]
    if isinstance(value, tuple):
        return tuple(_without(item, struct, field) for item in value)  # type: ignore[return-value]
    return value


def occurring(value: object) -> Iterator[tuple[type[msgspec.Struct], str]]:
    """Fields that have another value than their default."""
    if isinstance(value, msgspec.Struct):
        for info in msgspec.structs.fields(type(value)):
            found = getattr(value, info.name)
            if found != info.default and found not in ((), {}):
                yield type(value), info.name
                yield from occurring(found)
    elif isinstance(value, (dict, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from occurring(item)
