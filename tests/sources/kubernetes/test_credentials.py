"""Who asks, and whom: kubeconfig, plug-ins, the account of a pod, and credentials that run out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from kubernetes_asyncio.config import incluster_config
from tests.clients.authority import Authority
from tests.sources.collecting import entry, following
from tests.sources.kubernetes.cluster import QUICK, Small, kubeconfig
from tests.sources.kubernetes.server import Answer, ApiServer, Asked, status

from roadstead import SourceUnavailable
from roadstead.sources.kubernetes import Kubernetes

ONE = ("ServiceEntry",)


def only(server: ApiServer, token: str) -> None:
    """Who has the token is let in."""

    def answer(asked: Asked) -> Answer | None:
        known = asked.headers.get("authorization") == f"Bearer {token}"
        return None if known else status(401, "Unauthorized", "Unauthorized")

    server.answer = answer


async def test_a_token_that_is_not_taken_any_more_is_read_again(little: Small, tmp_path: Path) -> None:
    await little.put(entry("a"))
    only(little.server, "first")
    (tmp_path / "token").write_text("first")
    path = kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{little.server.port}", "{tokenFile: token}")
    async with following(Kubernetes(kubeconfig=path, kinds=ONE, pace=QUICK)) as (sink, layers):
        await sink.has(a="a")
        only(little.server, "second")
        await little.server.interrupt()
        await sink.until(lambda: layers.status()[0].error == "HTTP 401 Unauthorized")
        await little.put(entry("b"))
        (tmp_path / "token").write_text("second")
        await sink.has(a="a", b="b")
        await sink.until(lambda: layers.status()[0].error == "")


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_a_plug_in_brings_the_token(little: Small, version: str, tmp_path: Path) -> None:
    await little.put(entry("a"))
    only(little.server, "of the plug-in")
    api = f"client.authentication.k8s.io/{version}"
    plug_in = tmp_path / "plug-in.py"
    plug_in.write_text(
        f'print(\'{{"apiVersion": "{api}", "kind": "ExecCredential", "status": {{"token": "of the plug-in"}}}}\')'
    )
    user = f"{{exec: {{apiVersion: {api}, command: '{sys.executable}', args: ['{plug_in}'], interactiveMode: Never}}}}"
    path = kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{little.server.port}", user)
    [decoded] = await Kubernetes(kubeconfig=path, kinds=ONE).read()
    assert decoded.resource is not None
    plug_in.write_text("raise SystemExit('no ticket')")
    with pytest.raises(SourceUnavailable, match="no ticket"):
        await Kubernetes(kubeconfig=path, kinds=ONE).read()


async def test_the_account_of_a_pod(little: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a pod finds it is fixed; here the files are elsewhere."""
    authority = Authority(tmp_path)
    server = ApiServer()
    server.served = little.server.served
    await server.start(authority.server(authority.sign("server", "127.0.0.1")))
    try:
        only(server, "of the pod")
        (tmp_path / "token").write_text("of the pod")
        monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
        monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority.root))
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
        assert await Kubernetes().read() == []
        # Whoever names a file means it.
        (tmp_path / "empty").mkdir()
        with pytest.raises(SourceUnavailable, match="nowhere: no such file"):
            await Kubernetes(kubeconfig=tmp_path / "nowhere").read()
    finally:
        await server.stop()


async def test_a_certificate_of_somebody_else_is_refused(tmp_path: Path) -> None:
    mine, other = Authority(tmp_path, "mine"), Authority(tmp_path, "other")
    server = ApiServer()
    await server.start(mine.server(mine.sign("server", "127.0.0.1")))
    try:
        path = kubeconfig(
            tmp_path / "kubeconfig",
            f"https://127.0.0.1:{server.port}",
            cluster=f", certificate-authority: {other.root}",
        )
        with pytest.raises(SourceUnavailable, match="certificate verify failed"):
            await Kubernetes(kubeconfig=path, kinds=ONE).read()
        assert server.asked == []
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("current-context: none\ncontexts: []\nclusters: []\nusers: []\n", "Expected object with name none"),
        ("{", "while parsing"),
        ("just text", "kubeconfig: "),
    ],
)
async def test_a_kubeconfig_that_is_none(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(text)
    with pytest.raises(SourceUnavailable, match=said):
        await Kubernetes(kubeconfig=tmp_path / "kubeconfig").read()


async def test_where_a_cluster_is_looked_for(little: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KUBECONFIG may be several files; without it the user's own; a context may be named."""
    await little.put(entry("a"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SourceUnavailable, match=r"no cluster: neither KUBECONFIG nor .*\.kube/config"):
        await Kubernetes(kinds=ONE).read()
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path / ".kube" / "config", f"http://127.0.0.1:{little.server.port}")
    assert len(await Kubernetes(kinds=ONE).read()) == 1
    wrong = kubeconfig(tmp_path / "wrong", "http://127.0.0.1:1")
    wrong.write_text(wrong.read_text().replace(" it", " elsewhere"))
    monkeypatch.setenv("KUBECONFIG", f"{wrong}:{tmp_path / '.kube' / 'config'}")
    assert len(await Kubernetes(kinds=ONE, context="it").read()) == 1
    with pytest.raises(SourceUnavailable, match=r"kubernetes\(elsewhere\): Cannot connect to host 127.0.0.1:1"):
        await Kubernetes(kinds=ONE, context="elsewhere").read()
