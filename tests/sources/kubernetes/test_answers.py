"""What a server may say, and what becomes of it: errors, other versions, nonsense, too much."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.sources.collecting import entry, following
from tests.sources.kubernetes.cluster import QUICK, Small, documents, kubeconfig, source
from tests.sources.kubernetes.server import Answer, Asked, event, status

from roadstead import SourceUnavailable
from roadstead.config.kinds import KINDS
from roadstead.sources.kubernetes import Kubernetes

ONE = ("ServiceEntry",)


def url(little: Small, folder: Path, user: str = "{}") -> Path:
    return kubeconfig(folder / "kubeconfig", f"http://127.0.0.1:{little.server.port}", user)


def watches(little: Small) -> list[Asked]:
    return [asked for asked in little.server.asked if asked.watch]


def lists(little: Small) -> list[Asked]:
    return [asked for asked in little.server.asked if not asked.watch]


def once(answer: Answer | bytes, wanted: Callable[[Asked], bool]) -> Callable[[Asked], Answer | bytes | None]:
    """The answer to the first such request."""
    left = [answer]
    return lambda asked: left.pop() if left and wanted(asked) else None


def chunked(*lines: bytes) -> bytes:
    """A watch that says this and ends."""
    chunks = b"".join(f"{len(line):x}\r\n".encode() + line + b"\r\n" for line in lines)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


async def test_a_second_list_is_cut_at_every_other_byte(little: Small, tmp_path: Path) -> None:
    """What was deleted meanwhile is gone, and nothing else, however often the list breaks off."""
    await little.put(entry("a") + entry("b"))
    pairs = [await little.reachable(tmp_path) for _ in range(8)]
    followers = [following(source(path, kinds=ONE)) for _, path in pairs]
    opened = [await one.__aenter__() for one in followers]
    try:
        await asyncio.gather(*[sink.has(a="a", b="b") for sink, _ in opened])
        length = pairs[0][0].passed
        for number, first in enumerate(range(0, length, 2 * len(pairs))):
            for index, (gate, _) in enumerate(pairs):
                gate.cut(-1)
                gate.cut(first + 2 * index)
                gate.drop()
            if number % 2:
                await little.put(entry("b", f"v{number}"))
            elif "b" in opened[0][0].hosts():
                await little.delete("ServiceEntry", "default", "b")
            little.server.compact()
            now = {"a": "a", "b": f"v{number}"} if number % 2 else {"a": "a"}
            await asyncio.gather(*[sink.has(**now) for sink, _ in opened])
    finally:
        for one in followers:
            await one.__aexit__(None, None, None)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(status(429, "TooManyRequests", "slow down", **{"Retry-After": "0"}), id="429"),
        pytest.param(status(500, "InternalError", "etcd has no leader"), id="500"),
        pytest.param(status(504, "Timeout", "Too large resource version"), id="504"),
        pytest.param(Answer("503 Service Unavailable", b"", {"Retry-After": "soon"}), id="503"),
        pytest.param(status(410, "Gone", "too old"), id="410"),
        pytest.param(Answer("502 Bad Gateway", b"<html>", {"Content-Type": "text/html"}), id="502"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", id="no JSON"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", id="no HTTP"),
        pytest.param(chunked(), id="nothing"),
        pytest.param(chunked(b'{"type": "ADDED"\n'), id="half an event"),
        pytest.param(chunked(b"[1, 2]\n"), id="no event"),
        pytest.param(chunked(b"[" * 100_000 + b"\n"), id="deep"),
        pytest.param(chunked(event("ERROR", {"code": 500, "reason": "InternalError"})), id="an error in the stream"),
        pytest.param(chunked(event("ERROR", {"code": 410, "reason": "Expired"})), id="expired in the stream"),
        pytest.param(chunked(event("ERROR", 7)), id="an error that is none"),
        pytest.param(chunked(event("NOVELTY", {"metadata": {}})), id="an event of another kind"),
    ],
)
@pytest.mark.parametrize("to_watch", [True, False], ids=["watch", "list"])
async def test_after_any_answer_all_is_well_again(
    little: Small, answer: Answer | bytes, to_watch: bool, tmp_path: Path
) -> None:
    await little.put(entry("a"))
    little.server.answer = once(answer, lambda asked: asked.watch == to_watch)
    async with following(source(url(little, tmp_path), kinds=ONE)) as (sink, layers):
        await sink.has(a="a")
        await little.put(entry("b"))
        await sink.has(a="a", b="b")
        await little.delete("ServiceEntry", "default", "a")
        await sink.has(b="b")
        await sink.until(lambda: layers.status()[0].error == "")


async def test_who_may_not_list_is_told(little: Small, tmp_path: Path) -> None:
    """Nothing counts before everything was read."""
    await little.put(entry("a"))
    said = 'sidecars is forbidden: User "me" cannot list resource "sidecars" at the cluster scope'
    little.server.answer = lambda asked: status(403, "Forbidden", said) if "sidecars" in asked.path else None
    async with following(source(url(little, tmp_path))) as (sink, layers):
        await sink.until(lambda: layers.status()[0].error == f"sidecars: HTTP 403 {said}")
        assert (sink.hosts(), layers.status()[0].loaded) == ({}, False)
        little.server.answer = lambda _: None
        await sink.has(a="a")
        await sink.until(lambda: layers.status()[0].error == "")
    little.server.answer = lambda _: status(403, "Forbidden", "nothing for you")
    with pytest.raises(SourceUnavailable, match="kubernetes: HTTP 403 nothing for you"):
        await source(url(little, tmp_path)).read()


async def test_who_may_list_and_not_watch_lists_again_and_again(little: Small, tmp_path: Path) -> None:
    await little.put(entry("a"))
    little.server.answer = lambda asked: status(403, "Forbidden", "cannot watch") if asked.watch else None
    async with following(source(url(little, tmp_path), kinds=ONE)) as (sink, layers):
        await sink.has(a="a")
        await little.put(entry("a", "new"))
        await sink.has(a="new")
        await sink.until(lambda: layers.status()[0].error == "HTTP 403 cannot watch")


async def test_a_cluster_of_older_versions(little: Small, tmp_path: Path) -> None:
    little.server.served = {"networking.istio.io/v1beta1/serviceentries"}
    await little.put(entry("a"))
    async with following(source(url(little, tmp_path))) as (sink, layers):
        await sink.has(a="a")
        [resource] = sink.resources.values()
        assert resource.api_version == "networking.istio.io/v1beta1"
        assert layers.status()[0].error == ""
        assert {asked.path for asked in watches(little)} == {"/apis/networking.istio.io/v1beta1/serviceentries"}


async def test_a_cluster_without_istio_that_gets_it(little: Small, tmp_path: Path) -> None:
    served, little.server.served = little.server.served, set()
    with pytest.raises(SourceUnavailable, match="none of Istio's CustomResourceDefinitions"):
        await source(url(little, tmp_path)).read()
    async with following(source(url(little, tmp_path))) as (sink, layers):
        await sink.until(lambda: layers.status()[0].loaded)
        assert layers.status()[0].error == "the cluster has none of Istio's CustomResourceDefinitions"
        little.server.served = served
        await little.put(entry("a"))
        await sink.has(a="a")
        await sink.until(lambda: layers.status()[0].error == "")
        # A definition that is not found for once takes nothing away.
        little.server.served = served - {"networking.istio.io/v1/serviceentries"}
        little.server.compact()
        await little.server.interrupt()
        await sink.until(
            lambda: "serviceentries.networking.istio.io are not served any more" in layers.status()[0].error
        )
        assert sink.hosts() == {"a": "a"}


async def test_a_bookmark_says_from_where_to_go_on(little: Small, tmp_path: Path) -> None:
    await little.put(entry("a"))
    gate, path = await little.reachable(tmp_path)
    async with following(source(path, kinds=ONE)) as (sink, _):
        await sink.until(lambda: len(watches(little)) == 1)
        # Objects of other kinds: nothing of it is seen here but the bookmark.
        await little.put("".join(entry(f"x{number}") for number in range(5)).replace("ServiceEntry", "WorkloadEntry"))
        passed = gate.passed
        await little.server.bookmark()
        await sink.until(lambda: gate.passed > passed)
        gate.drop()
        await sink.until(lambda: len(watches(little)) == 2)
        assert [asked.query["resourceVersion"] for asked in watches(little)] == ["101", "106"]
        assert len(lists(little)) == 1


async def test_a_list_whose_pages_expire_begins_anew(little: Small, tmp_path: Path) -> None:
    many = [f"s{number}" for number in range(501)]
    await little.put("".join(entry(name) for name in many))
    expired = status(410, "Expired", "The provided continue parameter is too old")
    little.server.answer = once(expired, lambda asked: "continue" in asked.query)
    async with following(source(url(little, tmp_path), kinds=ONE)) as (sink, _):
        await sink.has_resources(len(many))
        assert ["continue" in asked.query for asked in lists(little)] == [False, True, False, True]


async def test_pages_that_are_too_large_are_asked_for_with_fewer_objects(little: Small, tmp_path: Path) -> None:
    for number in range(40):
        [document] = documents(entry(f"s{number}"))
        document["metadata"]["annotations"] = {"large": "x" * 2**20}  # type: ignore[index]
        await little.server.put("serviceentries", document)
    async with following(source(url(little, tmp_path), kinds=ONE)) as (sink, _):
        await sink.has_resources(40)
        assert [asked.query["limit"] for asked in lists(little)][:3] == ["500", "62", "7"]


async def test_an_event_without_end_is_not_kept(little: Small, tmp_path: Path) -> None:
    """Read as far as an object can be, and not further."""
    await little.put(entry("a"))
    endless = chunked(b'{"type": "ADDED", "object": {"x": "' + b"x" * (64 * 1024 * 1024))
    little.server.answer = once(endless, lambda asked: asked.watch)
    gate, path = await little.reachable(tmp_path)
    async with following(source(path, kinds=ONE)) as (sink, layers):
        await sink.has(a="a")
        await sink.until(lambda: len(watches(little)) == 2)
        assert 8 * 1024 * 1024 <= gate.passed <= 24 * 1024 * 1024
        await sink.until(lambda: layers.status()[0].error == "")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (b'{"metadata": {"namespace": "default", "name": "b"}}', "DOC-2"),
        (b'{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "b"}, "spec": 7}', "DEC-2"),
        (b'{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": 7}', "DEC-2"),
        (b'{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "b\xff"}}', "DOC-1"),
    ],
)  # fmt: skip
async def test_an_object_that_cannot_be_read_is_refused_alone(
    little: Small, broken: bytes, said: str, tmp_path: Path
) -> None:
    await little.put(entry("a"))
    line = b'{"type": "ADDED", "object": ' + broken + b"}\n"
    little.server.answer = once(chunked(line), lambda asked: asked.watch)
    async with following(source(url(little, tmp_path), kinds=ONE)) as (sink, layers):
        await sink.has(a="a")
        await sink.until(lambda: [finding.code for finding in layers.status()[0].findings][:1] == [said])
        await little.put(entry("c"))
        await sink.has(a="a", c="c")
        assert len(lists(little)) == 1


async def test_only_some_namespaces_and_kinds(little: Small, tmp_path: Path) -> None:
    await little.put(entry("a", namespace="shop") + entry("b", namespace="bank") + entry("c"))
    kubernetes = Kubernetes(
        kubeconfig=url(little, tmp_path), context="it", namespaces=["shop", "bank"], kinds=ONE, pace=QUICK
    )
    assert kubernetes.name == "kubernetes(it) in shop, bank"
    async with following(kubernetes) as (sink, _):
        await sink.has(a="a", b="b")
        assert {asked.path for asked in little.server.asked} == {
            f"/apis/networking.istio.io/v1/namespaces/{name}/serviceentries" for name in ("shop", "bank")
        }
        await little.put(entry("c", namespace="bank"))
        await sink.has(a="a", b="b", c="c")


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no kind 'Pod': use ServiceEntry, .*PeerAuthentication"):
        Kubernetes(kinds=["Pod"])
    with pytest.raises(TypeError, match="several names"):
        Kubernetes(namespaces="shop")
    assert Kubernetes().name == "kubernetes"
    assert len(KINDS) == 8
