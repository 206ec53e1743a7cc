"""The real scope of a client over a piece of YAML, with shorthands for the documents that most tests need.

Every document is of one instant unless it says otherwise, so order is by name."""

from __future__ import annotations

import msgspec
import yaml

from roadstead.compile.index import Index
from roadstead.compile.inputs import Env
from roadstead.compile.locality import client_labels, parse_locality
from roadstead.compile.scope import ClientScope
from roadstead.config import (
    DestinationRule,
    Gateway,
    MeshConfig,
    ObjectMeta,
    Resource,
    ServiceEntry,
    Sidecar,
    VirtualService,
    WorkloadEntry,
)
from roadstead.mesh import Node, Route

_KINDS = {
    kind.__name__: kind for kind in (ServiceEntry, WorkloadEntry, VirtualService, DestinationRule, Gateway, Sidecar)
}


def resources(text: str) -> list[Resource]:
    made = []
    for document in yaml.safe_load_all(text):
        kind = document["kind"]
        made.append(
            Resource(
                kind=kind,
                api_version="networking.istio.io/v1",
                metadata=msgspec.convert(document["metadata"], ObjectMeta),
                spec=msgspec.convert(document["spec"], _KINDS[kind]),
            )
        )
    return made


def client(*documents: str, node: Node | None = None, mesh: str = "{}", extended: bool = False) -> ClientScope:
    """The scope of a sidecar in namespace `default`, or of the node given."""
    node = node or Node(ips=("10.9.9.9",), labels={"app": "client"})
    known = {resource.key: resource for text in documents for resource in resources(text)}
    index = Index()
    for resource in known.values():
        index.put(resource)
    env = Env(
        node,
        msgspec.convert(yaml.safe_load(mesh), MeshConfig),
        extended,
        parse_locality(node.locality),
        client_labels(node.labels, node.locality, node.network, node.cluster),
    )
    return ClientScope(env, index, known.__getitem__)


def entry(host: str, *ports: str, name: str = "", **fields: object) -> str:
    """A ServiceEntry; ports as "80/HTTP" or "80" (sniffed). Resolution DNS unless told."""
    written = []
    for port in ports:
        number, _, protocol = port.partition("/")
        written.append({"number": int(number), "name": f"p{number}", "protocol": protocol})
    spec = {"hosts": [host], "ports": written, "resolution": "DNS", "location": "MESH_EXTERNAL", **fields}
    return document("ServiceEntry", name or f"se-{host.replace('*', 'any')}", spec)


def virtual_service(name: str, spec: str, namespace: str = "default") -> str:
    """A VirtualService with a spec in YAML."""
    return document("VirtualService", name, yaml.safe_load(spec), namespace)


def destination_rule(host: str, spec: str) -> str:
    return document("DestinationRule", f"dr-{host}", {"host": host, **yaml.safe_load(spec)})


def document(kind: str, name: str, spec: object, namespace: str = "default") -> str:
    return yaml.safe_dump({"kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec})


def to(route: Route) -> str:
    """Where a route goes, in short: "cluster" or "cluster*weight, …"."""
    single = len(route.destinations) == 1 and not route.destinations[0].weight
    return ", ".join([one.cluster if single else f"{one.cluster}*{one.weight}" for one in route.destinations])
