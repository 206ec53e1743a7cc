"""What a real Envoy 1.40 did under Istio's configuration: requests, distributions and hash tables, one file a case.

A file holds the case's configuration (`config`, `mesh`: YAML text), the client (`proxy`), the names Envoy resolved
(`dns`), and what was sent with what came of it. README.md beside the files says how they came to be.
"""

from __future__ import annotations

import json
import lzma
from functools import lru_cache
from pathlib import Path
from typing import Any

from roadstead import Registry
from roadstead.config.dialect import Dialect
from roadstead.config.read import read_mesh
from roadstead.mesh import Endpoint, Node

DATA = Path(__file__).parent / "data"
CASES = tuple(sorted(path.name.removesuffix(".json.xz") for path in DATA.glob("*.json.xz")))

Recorded = dict[str, Any]

# Routes that Envoy refuses, by their positions in Istio's table of the host. `~accepted` was recorded without them, with
# the positions of the whole table: here they are counted as Envoy had them.
REFUSED_ROUTES = {"71-vs-redirect-direct~accepted": (8, 15)}


@lru_cache(maxsize=4)
def recorded(case: str) -> Recorded:
    """One case as it was recorded."""
    found: Recorded = json.loads(lzma.decompress((DATA / f"{case}.json.xz").read_bytes()))
    found["accepted"] = case in REFUSED_ROUTES
    for request in found["requests"]:
        expect = request["expect"]
        for one in (expect, *expect.get("by_cluster", {}).values()):
            if one.get("route_index", -1) >= 0:
                one["route_index"] -= sum(at < one["route_index"] for at in REFUSED_ROUTES.get(case, ()))
    return found


def registry_of(case: Recorded, backend: str) -> Registry:
    """The case's registry as its client sees it, with the names resolved as Envoy's DNS resolved them. The dialect
    `extended` leaves out what Envoy refuses, and serves the rest of the table."""
    dialect: Dialect = "extended" if case["accepted"] else "istio"
    mesh = read_mesh(case["mesh"].encode(), "mesh.yaml", "istio").value if case["mesh"] else None
    registry = Registry.from_text(
        case["config"], node=node_of(case["proxy"]), mesh=mesh, dialect=dialect, backend=backend, seed=1
    )
    resolve(registry, case["dns"])
    return registry


def node_of(proxy: Recorded) -> Node:
    fields = {name: value for name, value in proxy.items() if name != "ip"}
    return Node(**{**fields, "ips": (proxy["ip"], *proxy.get("ips", ()))})


def resolve(registry: Registry, names: dict[str, list[str] | None]) -> None:
    """Each endpoint with a name becomes one for each of its addresses; a LOGICAL_DNS cluster uses the first."""
    for cluster in registry.clusters():
        spec = None if cluster is None else cluster.spec
        known = [endpoint for group in getattr(spec, "groups", ()) for endpoint in group.endpoints]
        if getattr(spec, "type", "") not in ("STRICT_DNS", "LOGICAL_DNS"):
            continue
        found: list[Endpoint] = []
        for endpoint in known:
            if endpoint.kind != "hostname":
                # An address is looked up like a name, and is not of the family that is asked for.
                if ":" not in endpoint.address or spec.dns_lookup_family != "V4_ONLY":
                    found.append(endpoint)
                continue
            addresses = names.get(endpoint.address) or []
            used = addresses[:1] if spec.type == "LOGICAL_DNS" else addresses
            found += [moved(endpoint, address) for address in used]
        registry.endpoints(cluster.name).update(found)


def moved(endpoint: Endpoint, address: str) -> Endpoint:
    fields = {name: getattr(endpoint, name) for name in endpoint.__struct_fields__}
    return Endpoint(**{**fields, "address": address, "kind": "ip", "hostname": endpoint.address})
