"""Hosts whose endpoints only clients of their own cluster are sent to (Istio: model/cluster_local.go)."""

from __future__ import annotations

import msgspec

from roadstead.config import MeshConfig
from roadstead.host import closest, subset_of

# What Istio holds to be local unless the settings say otherwise; the host of istiod itself comes to these.
_DEFAULTS = ("*.kube-system.svc.cluster.local", "kubernetes.default.svc.cluster.local")
_DOMAIN = "cluster.local"
_ISTIOD = "istiod.istio-system.svc:15012"


class LocalHosts(msgspec.Struct, frozen=True):
    """settled: by host or wildcard, whether it is local."""

    settled: dict[str, bool]

    def takes(self, host: str) -> bool:
        """What the closest setting says of a host; False without one."""
        found = host if host in self.settled else closest(host, [name for name in self.settled if name[:1] == "*"])
        return found is not None and self.settled[found]


def local_hosts(mesh: MeshConfig) -> LocalHosts:
    """The settings of a mesh. A later one for the same host counts."""
    settled: dict[str, bool] = {}
    defaults = [*_DEFAULTS, *_istiod(mesh)]
    for written in mesh.service_settings:
        local = written.settings is not None and written.settings.cluster_local
        for host in written.hosts:
            settled[host] = local
            if not local:
                defaults = [name for name in defaults if not _overrides(host, name)]
    return LocalHosts({**settled, **dict.fromkeys(defaults, True)})


def _overrides(host: str, default: str) -> bool:
    return host == default or (default[:1] == "*" and subset_of(host, default))


def _istiod(mesh: MeshConfig) -> list[str]:
    written = mesh.default_config.discovery_address if mesh.default_config is not None else ""
    host, colon, port = (written or _ISTIOD).rpartition(":")
    if not colon or not port.isdecimal():
        return []
    return [host if host.endswith(_DOMAIN) else f"{host}.{_DOMAIN}"]
