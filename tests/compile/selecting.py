"""A client's scope over YAML text, through the index: what test_scope, test_rules and test_host ask."""

from __future__ import annotations

from roadstead.compile.index import Index
from roadstead.compile.scope import ClientScope
from roadstead.compile.touch import Touch
from roadstead.config import MeshConfig, Resource, ResourceKey, Spec
from roadstead.config.read import read
from roadstead.mesh import Node
from roadstead.registry.settings import Settings, env_of

HEADS = {
    "SE": ("ServiceEntry", "networking.istio.io/v1"),
    "WE": ("WorkloadEntry", "networking.istio.io/v1"),
    "VS": ("VirtualService", "networking.istio.io/v1"),
    "DR": ("DestinationRule", "networking.istio.io/v1"),
    "GW": ("Gateway", "networking.istio.io/v1"),
    "SC": ("Sidecar", "networking.istio.io/v1"),
    "PA": ("PeerAuthentication", "security.istio.io/v1"),
}
HTTP = "{number: 80, name: http, protocol: HTTP}"


def document(short: str, name: str, spec: str, *, age: int | None = None) -> str:
    """One document in flow style. name: "namespace/name". age: a year, the older the smaller."""
    kind, version = HEADS[short]
    namespace, _, plain = name.partition("/")
    created = f", creationTimestamp: '{age}-01-01T00:00:00Z'" if age else ""
    head = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {plain}, namespace: {namespace}{created}}}"
    return f"{head}\nspec: {{{spec}}}\n---\n"


def service(name: str, hosts: str, more: str = "", *, ports: str = HTTP, age: int | None = None) -> str:
    """A ServiceEntry that is resolved by NONE."""
    more = f", {more}" if more else ""
    return document("SE", name, f"hosts: [{hosts}], ports: [{ports}], resolution: NONE{more}", age=age)


def resources(text: str) -> list[Resource[Spec]]:
    found = []
    for decoded in read(text.encode(), dialect="istio"):
        assert [str(finding) for finding in decoded.findings if finding.severity == "error"] == []
        found += decoded.resources
    return found


def scope(text: str, node: Node | None = None, mesh: MeshConfig | None = None) -> ClientScope:
    """The scope of a node (default: a sidecar in the namespace `here`)."""
    index = Index()
    known: dict[ResourceKey, Resource[Spec]] = {}
    for resource in resources(text):
        known[resource.key] = resource
        index.put(resource, Touch())
    settings = Settings(mesh or MeshConfig(), None, extended=False)
    return ClientScope(env_of(node or Node(namespace="here"), settings), index, known.__getitem__)
