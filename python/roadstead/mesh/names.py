"""Names of clusters: made and read here only (Istio: pilot/pkg/model BuildSubsetKey, BuildDNSSrvSubsetKey)."""

from __future__ import annotations

from functools import lru_cache

PASSTHROUGH = "PassthroughCluster"
BLACK_HOLE = "BlackHoleCluster"
ALLOW_ANY_DYNAMIC = "AllowAnyDynamicDNSCluster"


@lru_cache(maxsize=256)
def cluster_name(port: int, subset: str, host: str) -> str:
    """`outbound|80|v1|reviews.prod.svc.cluster.local`; subset "" for the whole service.

    Routes name the clusters of their host again and again: they share the text."""
    return f"outbound|{port}|{subset}|{host}"


def sni_name(port: int, subset: str, host: str) -> str:
    """`outbound_.80_.v1_.host`: the SNI of ISTIO_MUTUAL and of AUTO_PASSTHROUGH gateways."""
    return f"outbound_.{port}_.{subset}_.{host}"


def parse_cluster_name(name: str) -> tuple[int, str, str]:
    """(port, subset, host) of `outbound|port|subset|host`; ValueError for anything else."""
    direction, port, subset, host = name.split("|", 3)
    if direction != "outbound":
        raise ValueError(f"not an outbound cluster name: {name!r}")
    return int(port), subset, host
