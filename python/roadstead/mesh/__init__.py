"""What a configuration means for one node, in Envoy's nouns: immutable data and names, no algorithms.

`compile` makes these from config; `registry/lower.py` turns them into columns of the engine, `xds` into resources.
"""

from roadstead.locality import Locality
from roadstead.mesh.cluster import (
    Cluster,
    ClusterPolicy,
    ConnectionPool,
    Endpoint,
    HashKey,
    HealthCheck,
    HttpPool,
    Keepalive,
    LoadBalancer,
    LocalityGroup,
    OutlierDetection,
    TcpPool,
    TlsOrigination,
    Tunnel,
    UnknownCluster,
    Warmup,
)
from roadstead.mesh.delta import Delta
from roadstead.mesh.host import HostMesh, Mesh
from roadstead.mesh.listener import EgressListener, Proxy, Server, ServerTls
from roadstead.mesh.names import cluster_name, parse_cluster_name, sni_name
from roadstead.mesh.node import Node
from roadstead.mesh.origin import Origin
from roadstead.mesh.route import (
    Abort,
    Cors,
    Delay,
    Destination,
    DirectResponse,
    FilterChain,
    HashPolicy,
    HeaderMatch,
    HeaderOps,
    Mirror,
    QueryMatch,
    Redirect,
    Retry,
    Route,
    RouteMatch,
    StringMatch,
    TcpRoute,
    VirtualHost,
)
from roadstead.mesh.service import Port, Service

__all__ = [
    "Abort",
    "Cluster",
    "ClusterPolicy",
    "ConnectionPool",
    "Cors",
    "Delay",
    "Delta",
    "Destination",
    "DirectResponse",
    "EgressListener",
    "Endpoint",
    "FilterChain",
    "HashKey",
    "HashPolicy",
    "HeaderMatch",
    "HeaderOps",
    "HealthCheck",
    "HostMesh",
    "HttpPool",
    "Keepalive",
    "LoadBalancer",
    "Locality",
    "LocalityGroup",
    "Mesh",
    "Mirror",
    "Node",
    "Origin",
    "OutlierDetection",
    "Port",
    "Proxy",
    "QueryMatch",
    "Redirect",
    "Retry",
    "Route",
    "RouteMatch",
    "Server",
    "ServerTls",
    "Service",
    "StringMatch",
    "TcpPool",
    "TcpRoute",
    "TlsOrigination",
    "Tunnel",
    "UnknownCluster",
    "VirtualHost",
    "Warmup",
    "cluster_name",
    "parse_cluster_name",
    "sni_name",
]
