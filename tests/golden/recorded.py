"""What Istio made of each case: its verdict on every document, and the resources and services of every client.

A file of `data` is one case, JSON under xz: config, mesh and networks (YAML text, "" for none), verdicts (one a
document, in order), clients by name, each with its proxy and the lists clusters, endpoints, listeners, routes, services.
"""

from __future__ import annotations

import lzma
from pathlib import Path
from tempfile import NamedTemporaryFile

import msgspec
from tests.golden.normal_form import Json, Normal, Resource, of_type

from roadstead.config.read import read_mesh, read_networks
from roadstead.mesh import Mesh, Node
from roadstead.registry.registry import Registry
from roadstead.xds.json import to_json
from roadstead.xds.resources import resources
from roadstead.xds.schema import Message

DATA = Path(__file__).parent / "data"
CASES = sorted(path.name.removesuffix(".json.xz") for path in DATA.glob("*.json.xz"))
TYPES = ("clusters", "endpoints", "listeners", "routes")
DESTINATIONS = {("r1002", "other", "d15"), ("r1017", "other", "y02"), ("r1037", "client", "z15")}
"""(case, client, ServiceEntry): a Sidecar hides the host from the client, and a VirtualService sends there all the same.
Istio lists it among the services; here it has clusters, and nobody finds it by its name."""
_RESOLUTIONS = {
    "STATIC": "ClientSide",
    "DNS": "DNS",
    "DNS_ROUND_ROBIN": "DNSRoundRobin",
    "NONE": "Passthrough",
    "DYNAMIC_DNS": "5",
}


class Verdict(msgspec.Struct):
    """kept: whether the document reaches Istio's tables. unknown_fields: whether it has fields that Istio ignores."""

    kind: str
    namespace: str
    name: str
    kept: bool
    unknown_fields: bool


class Client(msgspec.Struct):
    """A client's proxy.json, and what Istio sends it. services: what it sees, in Istio's order."""

    proxy: msgspec.Raw
    clusters: msgspec.Raw
    endpoints: msgspec.Raw
    listeners: msgspec.Raw
    routes: msgspec.Raw
    services: msgspec.Raw

    def node(self) -> Node:
        """The client as the project has it."""
        with NamedTemporaryFile() as file:
            Path(file.name).write_bytes(self.proxy)
            return Node.from_json(file.name)

    @property
    def sees_services(self) -> bool:
        """Whether Istio's list of services was recorded."""
        return bytes(self.services) != b"null"

    def expected(self, case: str, client: str) -> dict[str, Json]:
        """The normal form of all resources by type, and the services. case, client: the names of both."""
        made: dict[str, Json] = {kind: of_type(kind, msgspec.json.decode(getattr(self, kind))) for kind in TYPES}
        if self.sees_services:
            made["services"] = [
                self._folded(one)
                for one in msgspec.json.decode(self.services)
                if (case, client, one["object"]) not in DESTINATIONS
            ]
        return made

    def _folded(self, service: Resource) -> Json:
        """Protocols are spelled otherwise in places. Automatic addresses are nothing to a client that does not take DNS
        queries, and those of a family that it does not have."""
        made: Resource = {key: value for key, value in service.items() if not key.startswith("auto_")}
        proxy = msgspec.json.decode(self.proxy)
        if proxy.get("metadata", {}).get("DNS_CAPTURE") == "true":
            for ip in (proxy["ip"], *proxy.get("ips", ())):
                name = "auto_v6" if ":" in ip else "auto_v4"
                if name in service:
                    made[name] = service[name]
        ports = service["ports"]
        return {**made, "ports": [str(port).lower() for port in ports] if isinstance(ports, list) else []}


class Case(msgspec.Struct):
    """One case."""

    config: str
    mesh: str
    networks: str
    verdicts: list[Verdict]
    clients: dict[str, Client]

    def found(self, client: Client) -> dict[str, Json]:
        """What this project makes of the case for a client, in the same form."""
        node = client.node()
        registry = Registry.from_text(
            self.config,
            node=node,
            mesh=read_mesh(self.mesh.encode()).value,
            networks=read_networks(self.networks.encode()).value,
            dialect="istio",
        )
        mesh = registry.mesh
        found = resources(mesh, node)
        made: dict[str, Json] = {kind: _of_messages(kind, getattr(found, kind)) for kind in TYPES}
        if client.sees_services:
            made["services"] = services(mesh)
        return made


def text_of(name: str) -> str:
    """The case as JSON text."""
    return lzma.decompress((DATA / f"{name}.json.xz").read_bytes()).decode()


def case_of(text: str) -> Case:
    return msgspec.json.decode(text, type=Case)


def _of_messages(kind: str, messages: list[Message]) -> Normal:
    # Through JSON text, as the command writes it: shared parts are taken apart, and what is no JSON shows.
    return of_type(kind, msgspec.json.decode(msgspec.json.encode([to_json(one) for one in messages])))


def services(mesh: Mesh) -> list[Json]:
    """The services of a mesh in the words of the recordings; of a host with several addresses the first."""
    seen = [host.services[0] for host in mesh.hosts.values() if host.services]
    return [
        {
            **{key: value for key, value in zip(("auto_v4", "auto_v6"), service.auto_addresses, strict=True) if value},
            "address": service.address,
            "hostname": service.host,
            "mesh_external": service.mesh_external,
            "namespace": service.namespace,
            "object": service.object_name,
            "ports": [
                f"{port.number}/{port.name}/{port.protocol or 'UnsupportedProtocol'}".lower() for port in service.ports
            ],
            "resolution": _RESOLUTIONS[service.resolution],
        }
        for service in seen
    ]
