"""Clusters (CDS) of a mesh (Istio: core/cluster.go, cluster_builder.go)."""

from __future__ import annotations

from collections.abc import Iterator

from roadstead.mesh import Cluster, ClusterPolicy, ConnectionPool, Mesh, Node, Proxy, TlsOrigination, sni_name
from roadstead.mesh.cluster import PASSTHROUGH_IDLE, TcpPool
from roadstead.mesh.names import ALLOW_ANY_DYNAMIC, BLACK_HOLE, PASSTHROUGH
from roadstead.xds.messages import cluster as table
from roadstead.xds.messages import core
from roadstead.xds.resources.endpoints import load_assignment
from roadstead.xds.resources.health_checks import health_check_fields
from roadstead.xds.resources.policies import (
    HTTP_OPTIONS_NAME,
    breakers,
    http_options,
    keepalive,
    policy_fields,
    preserved_case,
)
from roadstead.xds.resources.tls import ads_in_time, per_endpoint_sockets, proxied_socket, raw_socket, upstream_socket
from roadstead.xds.schema import Message, Value

_DYNAMIC_TYPE = "envoy.clusters.dynamic_forward_proxy"
_DYNAMIC_HOSTS = 1024
_DNS_JITTER = 0.1
_DNS_QUERIES = 100
_DNS_TYPES = ("STRICT_DNS", "LOGICAL_DNS")


class ClusterMaker:
    """Makes the clusters of one view again and again: a cluster of the mesh that is still the same object gives the
    same message."""

    __slots__ = ("_dns", "_known", "_named", "_options", "_policies", "_proxy")

    def __init__(self) -> None:
        self._forget(Proxy())

    def _forget(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._known: dict[str, tuple[Cluster, Message]] = {}
        self._named: dict[str, tuple[Cluster, Message]] = {}
        # By identity of the interned policy, which the entry keeps alive.
        self._policies: dict[tuple[int, str], tuple[ClusterPolicy, dict[str, Value]]] = {}
        self._options: dict[tuple[int, bool, bool], tuple[ClusterPolicy, Value]] = {}
        self._dns = _dns_fields(proxy)

    def clusters(self, mesh: Mesh, node: Node) -> list[Message]:
        """All clusters, hosts in order, then those that every node has."""
        if mesh.proxy != self._proxy:
            self._forget(mesh.proxy)
        known, self._known = self._known, {}
        named, self._named = self._named, {}
        made: list[Message] = []
        by_name = mesh.passes_by_name
        for host in mesh.hosts.values():
            made += [self._kept(self._known, known, cluster) for cluster in host.clusters]
            if by_name:
                made += [self._by_name(named, cluster) for cluster in host.passed_clusters]
        made += special_clusters(mesh, node)
        return made

    def _kept(
        self, now: dict[str, tuple[Cluster, Message]], before: dict[str, tuple[Cluster, Message]], cluster: Cluster
    ) -> Message:
        entry = before.get(cluster.name)
        if entry is None or entry[0] is not cluster:
            entry = (cluster, self.cluster(cluster))
        now[cluster.name] = entry
        return entry[1]

    def _by_name(self, before: dict[str, tuple[Cluster, Message]], cluster: Cluster) -> Message:
        entry = before.get(cluster.name)
        if entry is None or entry[0] is not cluster:
            entry = (cluster, self.named_cluster(cluster))
        self._named[cluster.name] = entry
        return entry[1]

    def cluster(self, cluster: Cluster) -> Message:
        """One cluster of the mesh."""
        values = {"name": cluster.name, **self._shared(cluster.policy, cluster.type)}
        self._discover(values, cluster, cluster.name)
        values["alt_stat_name"] = self._stat_name(cluster)
        if cluster.health_checks:
            values |= health_check_fields(cluster)
        tls = cluster.tls
        options = self._http(cluster.policy, tls is not None and tls.auto_sni, tls is not None and tls.verify == "auto")
        if options is not None:
            values["typed_extension_protocol_options"] = options
        proxied = cluster.connection_pool.tcp.proxy_protocol
        if tls is None:
            if proxied:
                values["transport_socket"] = raw_socket(proxied)
        elif tls.mode == "AUTO" and cluster.type != "ORIGINAL_DST":
            values["transport_socket_matches"] = per_endpoint_sockets(tls, proxied)
        else:
            socket = upstream_socket(tls)
            values["transport_socket"] = proxied_socket(socket, proxied) if proxied else socket
        return table.CLUSTER.shared(**values)

    def named_cluster(self, cluster: Cluster) -> Message:
        """The cluster that TLS of the mesh finds by name: what arrives is passed on unopened. Who passes it on has no
        part in that TLS, so it checks nothing."""
        name = sni_name(cluster.port, cluster.subset, cluster.host)
        values = {"name": name, **self._shared(cluster.policy, cluster.type)}
        self._discover(values, cluster, name, only_mtls=True)
        values["alt_stat_name"] = self._stat_name(cluster)
        values["typed_extension_protocol_options"] = self._http(cluster.policy, False, False)
        return table.CLUSTER.shared(**values)

    def _stat_name(self, cluster: Cluster) -> str:
        if cluster.type == "DYNAMIC_DNS":
            return f"{cluster.name};"
        return stat_name(self._proxy.stat_name, cluster) if self._proxy.stat_name else ""

    def _shared(self, policy: ClusterPolicy, type: str) -> dict[str, Value]:  # noqa: A002 - Envoy's word
        key = (id(policy), type)
        entry = self._policies.get(key)
        if entry is None:
            fields = policy_fields(policy, type)
            if type != "DYNAMIC_DNS":
                fields["type"] = type
            entry = self._policies[key] = (policy, fields)
        return entry[1]

    def _http(self, policy: ClusterPolicy, auto_sni: bool, auto_san: bool) -> Value:
        key = (id(policy), auto_sni, auto_san)
        entry = self._options.get(key)
        if entry is None:
            options = http_options(policy, auto_sni=auto_sni, auto_san=auto_san)
            entry = self._options[key] = (policy, None if options is None else {HTTP_OPTIONS_NAME: options})
        return entry[1]

    def _discover(self, values: dict[str, Value], cluster: Cluster, name: str, *, only_mtls: bool = False) -> None:
        """How the endpoints are found. only_mtls: those that speak the mesh's TLS."""
        if cluster.type == "EDS":
            values["eds_cluster_config"] = table.EDS_CLUSTER_CONFIG(eds_config=ads_in_time(), service_name=name)
        elif cluster.type in _DNS_TYPES:
            values["load_assignment"] = load_assignment(name, cluster.groups, only_mtls=only_mtls)
        elif cluster.type == "DYNAMIC_DNS":
            cache = dns_cache(f"{cluster.host}_dfp_dns_cache", cluster.dns_lookup_family)
            values["cluster_type"] = dynamic_type(cache, insecure=cluster.tls is not None and _insecure(cluster.tls))
        elif cluster.port_override:
            values["original_dst_lb_config"] = table.ORIGINAL_DST(upstream_port_override=cluster.port_override)
        # Istio leaves it there even where a rule turns the cluster into one that looks nothing up.
        if cluster.dns_lookup_family and cluster.type != "DYNAMIC_DNS":
            values |= self._dns
            values["dns_lookup_family"] = cluster.dns_lookup_family


def stat_name(pattern: str, cluster: Cluster) -> str:
    """A cluster's name in statistics (meshConfig.outboundClusterStatName)."""
    for word, value in (
        ("%SERVICE%", cluster.host),
        ("%SERVICE_NAME%", cluster.host),
        ("%SERVICE_FQDN%", cluster.host),
        ("%SUBSET_NAME%", cluster.subset),
        ("%TARGET_PORT%", "0"),
        ("%SERVICE_PORT%", str(cluster.port)),
        ("%SERVICE_PORT_NAME%", cluster.port_name),
    ):
        pattern = pattern.replace(word, value)
    return f"{pattern};"


def _insecure(tls: TlsOrigination) -> bool:
    """Envoy wants to be told where the peer need not be the host that is asked for."""
    return not (tls.auto_sni and tls.verify == "auto")


def _dns_fields(proxy: Proxy) -> dict[str, Value]:
    resolver = core.TYPED_EXTENSION.shared(
        name="envoy.network.dns_resolver.cares", typed_config=table.CARES(udp_max_queries=_DNS_QUERIES)
    )
    return {
        "dns_refresh_rate": proxy.dns_refresh_rate,
        "dns_jitter": _DNS_JITTER,
        "respect_dns_ttl": True,
        "typed_dns_resolver_config": resolver,
    }


def dns_cache(name: str, family: str, hosts: int | None = None) -> Message:
    """The cache that a dynamic forward proxy's cluster and filter share by name. hosts: the most it holds."""
    return table.DNS_CACHE(name=name, dns_lookup_family=family, max_hosts=hosts)


def dynamic_type(cache: Message, *, insecure: bool = False) -> Message:
    """A cluster that looks up the name in each request. insecure: without automatic names in TLS."""
    config = table.DYNAMIC_CLUSTER(dns_cache_config=cache, allow_insecure_cluster_options=insecure)
    return table.CUSTOM_CLUSTER_TYPE(name=_DYNAMIC_TYPE, typed_config=config)


def allow_any_cache(node: Node) -> Message:
    """The cache for hosts that nobody declared."""
    return dns_cache("allow_any_dfp_dns_cache", lookup_family(node), _DYNAMIC_HOSTS)


def lookup_family(node: Node) -> str:
    """IPv6 only for a node that has nothing else. As in Istio the addresses here are those that its metadata tells."""
    ips = [ip for ip in node.metadata.get("INSTANCE_IPS", "").split(",") if ip]
    return "V6_ONLY" if ips and all(":" in ip for ip in ips) else "V4_ONLY"


def special_clusters(mesh: Mesh, node: Node) -> Iterator[Message]:
    """Clusters without a service: nowhere, and for sidecars where the caller wanted to go."""
    proxy = mesh.proxy
    yield table.CLUSTER(name=BLACK_HOLE, type="STATIC", connect_timeout=proxy.connect_timeout)
    if node.type == "router":
        return
    fields = _passthrough_fields(proxy.passthrough, keeps_case=proxy.callers.keeps_case)
    yield table.CLUSTER(name=PASSTHROUGH, type="ORIGINAL_DST", **fields)
    if proxy.dynamic_dns:
        yield table.CLUSTER(name=ALLOW_ANY_DYNAMIC, **_looked_up(proxy, node))


def _looked_up(proxy: Proxy, node: Node) -> dict[str, Value]:
    """Hosts that nobody declared. With automatic names in TLS, Istio says HTTP/1.1 and nothing else of how to speak."""
    # The mesh's default limits do not reach them.
    values = _passthrough_fields(
        ConnectionPool(TcpPool(connect_timeout=proxy.connect_timeout, keepalive=proxy.keepalive)),
        keeps_case=proxy.callers.keeps_case,
    )
    values["alt_stat_name"] = f"{ALLOW_ANY_DYNAMIC};"
    tls = proxy.unknown_tls
    values["cluster_type"] = dynamic_type(allow_any_cache(node), insecure=tls is None or _insecure(tls))
    if tls is None:
        return values
    values["transport_socket"] = upstream_socket(tls)
    if tls.auto_sni or tls.verify == "auto":
        automatic = core.UPSTREAM_HTTP_OPTIONS(auto_sni=tls.auto_sni, auto_san_validation=tls.verify == "auto")
        options = table.HTTP_OPTIONS(
            upstream_http_protocol_options=automatic,
            explicit_http_config=table.EXPLICIT_HTTP(http_protocol_options=core.HTTP1_OPTIONS()),
        )
        values["typed_extension_protocol_options"] = {HTTP_OPTIONS_NAME: options}
    return values


def _passthrough_fields(pool: ConnectionPool, *, keeps_case: bool) -> dict[str, Value]:
    http1 = core.HTTP1_OPTIONS(header_key_format=preserved_case() if keeps_case else None)
    options = table.HTTP_OPTIONS(
        common_http_protocol_options=core.COMMON_HTTP_OPTIONS(idle_timeout=PASSTHROUGH_IDLE),
        use_downstream_protocol_config=table.DOWNSTREAM_HTTP(
            http_protocol_options=http1, http2_protocol_options=core.HTTP2_OPTIONS()
        ),
    )
    return {
        "connect_timeout": pool.tcp.connect_timeout,
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": breakers(pool),
        "typed_extension_protocol_options": {HTTP_OPTIONS_NAME: options},
        "upstream_connection_options": None if pool.tcp.keepalive is None else keepalive(pool.tcp.keepalive),
    }
