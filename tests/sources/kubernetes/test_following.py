"""Lists and watches, on the small server and on real API machinery."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.sources.collecting import Sink, entry, following
from tests.sources.kubernetes.cluster import Cluster, Small, source

from roadstead.config import ResourceKey
from roadstead.sources import Layers
from roadstead.sources.kubernetes import Kubernetes, Pace

if TYPE_CHECKING:
    from tests.sources.kubernetes.gate import How

RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: a.test, trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}}
"""
STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: all, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
"""
# A schema takes it, Istio's rules do not.
NO_DESTINATION = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {hosts: [a.test], http: [{match: [{uri: {exact: /x}}]}]}
"""


async def test_objects_come_change_and_go(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.put(entry("a") + entry("b", namespace="shop"))
    _, path = await cluster.reachable(tmp_path)
    async with following(source(path)) as (sink, layers):
        await sink.has(a="a", b="b")
        assert sink.applied == 1
        await cluster.put(entry("a", "other"))
        await sink.has(a="other", b="b")
        await cluster.put(entry("c"))
        await cluster.delete("ServiceEntry", "shop", "b")
        await sink.has(a="other", c="c")
        [status] = layers.status()
        assert (status.name, status.loaded, status.error, status.pieces, status.resources) == (
            "kubernetes", True, "", 2, 2
        )  # fmt: skip
        key = ResourceKey("ServiceEntry", "default", "a")
        assert layers.source_of(key) == "kubernetes"
        assert sink.resources[key].origin.file == "kubernetes:serviceentry/default/a"
        assert sink.resources[key].metadata.uid


async def test_every_kind_counts(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.put(entry("a") + RULE + "---" + STRICT)
    _, path = await cluster.reachable(tmp_path)
    async with following(source(path)) as (sink, layers):
        await sink.has_resources(3)
        decision = sink.registry.route("a.test")
        assert decision.connection_pool.tcp.max_connections == 7
        assert decision.cluster is not None
        await cluster.put(RULE.replace("7", "9"))
        await sink.until(lambda: sink.registry.route("a.test").connection_pool.tcp.max_connections == 9)
        assert [status.error for status in layers.status()] == [""]


async def test_a_bad_object_is_refused_alone_and_told(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.put(entry("a") + RULE + "---" + NO_DESTINATION)
    _, path = await cluster.reachable(tmp_path)
    async with following(source(path)) as (sink, layers):
        await sink.has_resources(2)
        [status] = layers.status()
        assert [(finding.code, finding.severity, finding.file) for finding in status.findings] == [
            ("VS-25", "error", "kubernetes:virtualservice/default/a")
        ]
        assert (status.pieces, status.resources, status.error) == (3, 2, "")
        await cluster.put(NO_DESTINATION.replace("/x}}]", "/x}}], route: [{destination: {host: b.test}}]"))
        await sink.has_resources(3)
        # A good object that turns bad keeps its last good version.
        await cluster.put(NO_DESTINATION)
        await sink.until(lambda: layers.status()[0].findings != ())
        assert len(sink.resources) == 3
        await cluster.delete("VirtualService", "default", "a")
        await sink.has_resources(2)
        assert layers.status()[0].findings == ()


async def test_a_lost_connection_keeps_the_last_good_state(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.put(entry("a") + entry("b"))
    gate, path = await cluster.reachable(tmp_path)
    async with following(source(path)) as (sink, layers):
        await sink.has(a="a", b="b")
        await gate.shut()
        await sink.until(lambda: "Cannot connect to host 127.0.0.1" in layers.status()[0].error)
        await cluster.put(entry("a", "meanwhile") + entry("c"))
        await cluster.delete("ServiceEntry", "default", "b")
        assert (sink.hosts(), layers.status()[0].loaded) == ({"a": "a", "b": "b"}, True)
        await gate.open()
        await sink.has(a="meanwhile", c="c")
        await sink.until(lambda: layers.status()[0].error == "")


async def test_a_cluster_that_comes_and_goes(cluster: Cluster, tmp_path: Path) -> None:
    """All kinds lose their connections at once, and look for the cluster again at once."""
    await cluster.put(entry("a"))
    gate, path = await cluster.reachable(tmp_path)
    async with following(source(path)) as (sink, layers):
        await sink.has(a="a")
        for number in range(10):
            await gate.shut()
            await sink.until(lambda: "Cannot connect to host 127.0.0.1" in layers.status()[0].error)
            await cluster.put(entry("a", f"v{number}"))
            await gate.open()
            await sink.has(a=f"v{number}")
        await sink.until(lambda: layers.status()[0].error == "")


async def test_what_is_forgotten_is_listed_again(cluster: Cluster, tmp_path: Path) -> None:
    """Also what was deleted while nobody watched, and only what changed is applied."""
    await cluster.put(entry("a") + entry("b") + entry("c"))
    gate, path = await cluster.reachable(tmp_path)
    async with following(source(path, kinds=("ServiceEntry",))) as (sink, layers):
        await sink.has(a="a", b="b", c="c")
        await gate.shut()
        await cluster.delete("ServiceEntry", "default", "b")
        await cluster.put(entry("c", "new"))
        await cluster.forget("d")
        before = sink.resources[ResourceKey("ServiceEntry", "default", "a")]
        await gate.open()
        await sink.has(a="a", c="new", d="d")
        assert sink.applied == 2
        assert sink.resources[ResourceKey("ServiceEntry", "default", "a")] == before
        await cluster.put(entry("a", "watched"))
        await sink.has(a="watched", c="new", d="d")
        assert layers.status()[0].error == ""


async def passing(cluster: Cluster, folder: Path) -> tuple[int, int]:
    """Bytes of a list with the head of the watch after it, and of a watch that tells of two changes."""
    gate, path = await cluster.reachable(folder)
    async with following(source(path, kinds=("ServiceEntry",))) as (sink, _):
        await sink.has(a="a", b="b")
        listed = gate.passed
        await gate.shut()
        await cluster.put(entry("a") + entry("b", "new"))
        await gate.open()
        await sink.has(a="a", b="new")
        return listed, gate.passed - listed


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_a_watch_is_cut_at_every_point_and_nothing_is_lost(cluster: Cluster, how: How, tmp_path: Path) -> None:
    """Several sources, each cut at another byte of what the server says of two changes; then they come through."""
    await cluster.put(entry("a") + entry("b"))
    _, length = await passing(cluster, tmp_path)
    gates, paths = zip(*[await cluster.reachable(tmp_path) for _ in range(8)], strict=True)
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(following(source(path, kinds=("ServiceEntry",)))) for path in paths]
        # At every byte where they can be read; under TLS, and of resets, at some.
        each = isinstance(cluster, Small) and how == "close"
        points = range(0, length + 1, 1 if each else length // 100)
        for number, first in enumerate(points[:: len(gates)]):
            for index, gate in enumerate(gates):
                gate.cut(first + index * points.step, how)
                gate.drop(how)
            if number % 2:
                await cluster.put(entry("a", f"v{number}"))
                await cluster.delete("ServiceEntry", "default", "b")
                now = {"a": f"v{number}"}
            else:
                await cluster.put(entry("b", f"v{number}") + entry("a", "a"))
                now = {"a": "a", "b": f"v{number}"}
            await asyncio.gather(*[sink.has(**now) for sink, _ in opened])
        for sink, layers in opened:
            await sink.until(lambda layers=layers: layers.status()[0].error == "")
            assert layers.status()[0].pieces == len(now)
        # Only the last points may lie behind the end.
        assert min(gate.cuts for gate in gates) >= len(points[:: len(gates)]) - 1


async def test_a_list_is_cut(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.put(entry("a") + entry("b"))
    length, _ = await passing(cluster, tmp_path)
    gates, paths = zip(*[await cluster.reachable(tmp_path) for _ in range(8)], strict=True)
    points = range(0, length + 1, length // 23)
    for first in points[:: len(gates)]:
        async with AsyncExitStack() as stack:
            for index, (gate, path) in enumerate(zip(gates, paths, strict=True)):
                gate.cut(first + index * points.step)
                sink, layers = await stack.enter_async_context(following(source(path, kinds=("ServiceEntry",))))
                stack.push_async_callback(comes, sink, layers)


async def comes(sink: Sink, layers: Layers) -> None:
    """Everything, at once."""
    await sink.has(a="a", b="new")
    await sink.until(lambda: layers.status()[0].loaded and layers.status()[0].error == "")
    assert sink.applied == 1


async def test_a_list_of_many_pages(cluster: Cluster, tmp_path: Path) -> None:
    many = [f"s{number}" for number in range(1001)]
    await cluster.put("".join(entry(name) for name in many))
    _, path = await cluster.reachable(tmp_path)
    async with following(source(path, kinds=("ServiceEntry",))) as (sink, layers):
        await sink.has_resources(len(many))
        await sink.until(lambda: layers.status()[0].loaded)
        assert sink.applied == 1


async def test_a_connection_that_went_silent_is_given_up(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.put(entry("a"))
    gate, path = await cluster.reachable(tmp_path)
    # A connection is held before it is one where there is TLS.
    quick = Kubernetes(
        kubeconfig=path, kinds=("ServiceEntry",), timeout=1, pace=Pace(watch=1, first=0.002, longest=0.05)
    )
    async with following(quick) as (sink, layers):
        await sink.has(a="a")
        gate.drop()
        gate.cut(0, "hold")
        await cluster.put(entry("a", "new"))
        await sink.has(a="new")
        await sink.until(lambda: layers.status()[0].error == "")


async def test_one_look(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.put("---".join([entry("a"), RULE, NO_DESTINATION]))
    _, path = await cluster.reachable(tmp_path)
    found = await source(path).read()
    assert sorted(resource.kind for one in found for resource in one.resources) == ["DestinationRule", "ServiceEntry"]
    assert [finding.code for one in found for finding in one.findings] == ["VS-25"]
