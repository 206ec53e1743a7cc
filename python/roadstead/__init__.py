"""Istio's service registry in your process: YAML in, routing decisions out.

    from roadstead import Registry
    registry = Registry.from_files("mesh/")
    decision = registry.route("httpbin.org", path="/get")
    endpoint = decision.pick()

Names are imported when they are first used. BACKEND is the engine used by default: "native" or "fallback".
"""

from __future__ import annotations

import importlib

# The name type checkers know; `typing` itself would cost more than all the rest of this import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    # For type checkers the objects are the contract's classes; at run time they are its abstract faces.
    from roadstead._core import Cluster, Decision, Endpoint, Exchange, Service
    from roadstead._core import _Lease as Lease
    from roadstead.config import Finding, MeshConfig, MeshNetworks, Resource, ResourceKey
    from roadstead.core import BACKEND
    from roadstead.embed import get_include
    from roadstead.errors import (
        ConnectionNotAllowed,
        EndpointsPending,
        EngineError,
        InputError,
        LookupFailed,
        MissingExtra,
        NoHealthyEndpoint,
        NoSuchCluster,
        NoSuchEndpoint,
        NotSpoken,
        Overflow,
        RoadsteadError,
        SourceUnavailable,
        TlsRefused,
        TunnelRefused,
        Unavailable,
    )
    from roadstead.live import Live
    from roadstead.mesh import Delta, Mesh, Node, Origin
    from roadstead.registry.endpoints import ClusterEndpoints
    from roadstead.registry.registry import Registry
    from roadstead.registry.view import View

__all__ = [
    "BACKEND",
    "Cluster",
    "ClusterEndpoints",
    "ConnectionNotAllowed",
    "Decision",
    "Delta",
    "Endpoint",
    "EndpointsPending",
    "EngineError",
    "Exchange",
    "Finding",
    "InputError",
    "Lease",
    "Live",
    "LookupFailed",
    "Mesh",
    "MeshConfig",
    "MeshNetworks",
    "MissingExtra",
    "NoHealthyEndpoint",
    "NoSuchCluster",
    "NoSuchEndpoint",
    "Node",
    "NotSpoken",
    "Origin",
    "Overflow",
    "Registry",
    "Resource",
    "ResourceKey",
    "RoadsteadError",
    "Service",
    "SourceUnavailable",
    "TlsRefused",
    "TunnelRefused",
    "Unavailable",
    "View",
    "get_include",
]

_HOMES = {
    "BACKEND": "core",
    "Cluster": "objects",
    "ClusterEndpoints": "registry.endpoints",
    "ConnectionNotAllowed": "errors",
    "Decision": "objects",
    "Delta": "mesh",
    "Endpoint": "objects",
    "EndpointsPending": "errors",
    "EngineError": "errors",
    "Exchange": "objects",
    "Finding": "config",
    "InputError": "errors",
    "Lease": "objects",
    "Live": "live",
    "LookupFailed": "errors",
    "Mesh": "mesh",
    "MeshConfig": "config",
    "MeshNetworks": "config",
    "MissingExtra": "errors",
    "NoHealthyEndpoint": "errors",
    "NoSuchCluster": "errors",
    "NoSuchEndpoint": "errors",
    "NotSpoken": "errors",
    "Node": "mesh",
    "Origin": "mesh",
    "Overflow": "errors",
    "Registry": "registry.registry",
    "Resource": "config",
    "ResourceKey": "config",
    "RoadsteadError": "errors",
    "Service": "objects",
    "SourceUnavailable": "errors",
    "TlsRefused": "errors",
    "TunnelRefused": "errors",
    "Unavailable": "errors",
    "View": "registry.view",
    "get_include": "embed",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
