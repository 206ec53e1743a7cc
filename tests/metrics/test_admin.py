"""The admin interface, over HTTP and against a real Envoy's."""

from __future__ import annotations

import http.client
import json
from pathlib import Path

import pytest
from tests.metrics.mesh import CLUSTER, MESH
from tests.oracle.envoy import Envoy

from roadstead import Registry
from roadstead.errors import InputError
from roadstead.mesh import Node
from roadstead.metrics.admin import AdminPages, serve
from roadstead.metrics.formats import clusters_text

# Envoy's lines that the engine has nothing for; clusters of a file are static to Envoy.
NOT_OURS = ("rq_pending_active", "rq_timeout", "eds_service_name", "added_via_api")


@pytest.fixture
def registry(engine_name: str) -> Registry:
    return Registry.from_text(MESH, backend=engine_name)


def test_clusters_are_told_as_a_real_envoy_tells_them(registry: Registry, tmp_path: Path) -> None:
    with Envoy(registry, Node(), 80, tmp_path) as envoy:
        text = envoy.admin("/clusters")
        [status] = [
            one
            for one in json.loads(envoy.admin("/clusters?format=json"))["cluster_statuses"]
            if one["name"] == CLUSTER
        ]
    theirs = [
        line
        for line in text.splitlines()
        if line.startswith(CLUSTER) and not any(f"::{name}::" in line for name in NOT_OURS)
    ]
    ours = [line for line in clusters_text(registry).splitlines() if "::added_via_api::" not in line]
    assert ours == theirs
    for host in status["host_statuses"]:
        host["stats"] = [one for one in host["stats"] if one["name"] not in NOT_OURS]
    del status["eds_service_name"]
    [mine] = json.loads(AdminPages(registry).get("/clusters?format=json").body)["cluster_statuses"]
    assert mine.pop("added_via_api") is True
    assert mine == status


def test_stats(registry: Registry) -> None:
    with registry.route("api.test", 80, "/").lease():
        pages = AdminPages(registry)
        lines = pages.get("/stats").body.splitlines()
        assert f"cluster.{CLUSTER}.upstream_rq_active: 1" in lines
        assert lines == sorted(lines)
        asked = pages.get("/stats?filter=rq_(active|total)$&usedonly").body
        assert asked == f"cluster.{CLUSTER}.upstream_rq_active: 1\ncluster.{CLUSTER}.upstream_rq_total: 1\n"
        told = json.loads(pages.get("/stats?format=json&filter=upstream_rq_total").body)
        assert told == {"stats": [{"name": f"cluster.{CLUSTER}.upstream_rq_total", "value": 1}]}
        assert pages.get("/stats?format=prometheus") == pages.get("/stats/prometheus")


def test_the_configuration(registry: Registry) -> None:
    pages = AdminPages(registry)
    dump = json.loads(pages.get("/config_dump").body)["configs"]
    assert [one["@type"].rpartition(".")[2] for one in dump] == [
        "ClustersConfigDump",
        "ListenersConfigDump",
        "RoutesConfigDump",
    ]
    assert CLUSTER in [one["cluster"]["name"] for one in dump[0]["dynamic_active_clusters"]]
    with_eds = json.loads(pages.get("/config_dump?include_eds").body)["configs"]
    assert [one["endpoint_config"]["cluster_name"] for one in with_eds[1]["dynamic_endpoint_configs"]] == [CLUSTER]
    assert json.loads(pages.get("/server_info").body)["state"] == "LIVE"


@pytest.mark.parametrize(
    ("target", "status", "said"),
    [
        ("/ready", 200, "LIVE"),
        ("/nope", 404, "invalid path"),
        ("/stats?filter=(", 400, "Invalid re2 regex"),
        ("/stats?format=foo", 400, "usage: /stats?format=(json|prometheus|text)"),
        ("/config_dump?resource=x", 400, "resource is not supported"),
    ],
)
def test_over_http(registry: Registry, target: str, status: int, said: str) -> None:
    with serve(registry, "127.0.0.1:0") as admin:
        client = http.client.HTTPConnection(*admin.address, timeout=30)
        client.request("GET", target)
        answer = client.getresponse()
        body = answer.read().decode()
        client.request("HEAD", target)
        head = client.getresponse()
        head.read()
        client.close()
    assert (answer.status, head.status) == (status, status)
    assert body.startswith(said) or said in body


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("0.0.0.0:15000", "not loopback"),
        ("[::]:15000", "not loopback"),
        ("localhost:15000", "no IP address"),
        ("127.0.0.1", "write host:port"),
        ("127.0.0.1:99999", "write host:port"),
    ],
)
def test_addresses_that_are_refused(registry: Registry, address: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        serve(registry, address)
