"""Real API machinery: etcd and Kubernetes' own server of custom resources, with our kinds defined in it.

Both are looked for on the PATH (`etcd` of Debian's etcd-server; `go install k8s.io/apiextensions-apiserver@v0.36.1`)."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from tests.clients.authority import Authority
from tests.sources.collecting import entry
from tests.sources.kubernetes.cluster import documents, kubeconfig
from tests.sources.kubernetes.definitions import definitions
from tests.sources.kubernetes.gate import Gate

from roadstead.config.kinds import KINDS

if TYPE_CHECKING:
    from tests.sources.kubernetes.server import Document

_PLUGINS = "NamespaceLifecycle,MutatingAdmissionWebhook,ValidatingAdmissionWebhook,ValidatingAdmissionPolicy,MutatingAdmissionPolicy"


class Refusal(Exception):
    """The server would not have it."""


class Real:
    """The servers, as the administrator sees them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._authority = Authority(folder)
        self._server = self._authority.sign("server", "127.0.0.1")
        self._admin = self._authority.sign("admin", organisation="system:masters")
        self.kubeconfig = self._kubeconfig(folder, self.port)
        self._gates: list[Gate] = []
        self._arguments: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._context = ssl.create_default_context(cafile=self._authority.root)
        self._context.load_cert_chain(*self._admin)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start both servers, and define the kinds."""
        etcd, peers = (f"http://127.0.0.1:{_free_port()}" for _ in range(2))
        self._arguments = (
            "--etcd-servers", etcd, "--bind-address", "127.0.0.1", "--secure-port", str(self.port),
            "--tls-cert-file", str(self._server.certificate), "--tls-private-key-file", str(self._server.key),
            "--client-ca-file", str(self._authority.root), "--authentication-skip-lookup",
            "--authentication-kubeconfig", str(self.kubeconfig), "--authorization-kubeconfig", str(self.kubeconfig),
            "--kubeconfig", str(self.kubeconfig), "--enable-priority-and-fairness=false",
            "--disable-admission-plugins", _PLUGINS,
        )  # fmt: skip
        storage = _start(
            self.folder, "etcd", "--data-dir", str(self.folder / "data"), "--unsafe-no-fsync",
            "--listen-client-urls", etcd, "--advertise-client-urls", etcd, "--listen-peer-urls", peers,
            "--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}",
        )  # fmt: skip
        try:
            self._start()
            for definition in definitions():
                self.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
            self._wait_for_kinds()
            yield
        finally:
            for process in (self._process, storage):
                if process is not None:
                    process.terminate()
                    process.wait()

    def _start(self) -> None:
        self._process = _start(self.folder, "apiextensions-apiserver", *self._arguments)
        self._wait_for("/healthz")

    def _again(self) -> None:
        """The server anew: what it remembers of changes begins now."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait()
        self._start()
        self._wait_for_kinds()

    def _wait_for_kinds(self) -> None:
        for kind in KINDS.values():
            self._wait_for(f"/apis/{kind.group}/{kind.versions[0]}/{kind.plural}")

    def _wait_for(self, path: str) -> None:
        end = time.monotonic() + 60
        while self._process is not None and self._process.poll() is None and time.monotonic() < end:
            try:
                self.request("GET", path)
                return
            except (OSError, HTTPException, Refusal):
                time.sleep(0.05)
        raise AssertionError((self.folder / "apiextensions-apiserver.log").read_text()[-2000:])

    def request(self, method: str, path: str, document: Document | None = None) -> Document:
        """What the server answers; Refusal for an error."""
        link = HTTPSConnection("127.0.0.1", self.port, context=self._context, timeout=60)
        try:
            body = None if document is None else msgspec.json.encode(document)
            link.request(method, path, body, {"Content-Type": "application/json"})
            answer = link.getresponse()
            text = answer.read()
        finally:
            link.close()
        if answer.status >= 400:
            raise Refusal(f"{answer.status} {text.decode()}")
        # Health is told in plain text.
        made: Document = msgspec.json.decode(text) if text.startswith(b"{") else {}
        return made

    # Of a cluster

    async def put(self, text: str) -> None:
        for document in documents(text):
            await asyncio.to_thread(self._put, document)

    def _put(self, document: Document) -> None:
        metadata: dict[str, str] = document["metadata"]  # type: ignore[assignment]
        place = _path(str(document["kind"]), metadata["namespace"])
        try:
            self.request("POST", place, document)
        except Refusal as refusal:
            if not str(refusal).startswith("409"):
                raise
            there: dict[str, str] = self.request("GET", f"{place}/{metadata['name']}")["metadata"]  # type: ignore[assignment]
            newer = {**document, "metadata": {**metadata, "resourceVersion": there["resourceVersion"]}}
            self.request("PUT", f"{place}/{metadata['name']}", newer)

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        await asyncio.to_thread(self.request, "DELETE", f"{_path(kind, namespace)}/{name}")

    async def forget(self, name: str) -> None:
        await self.put(entry(name))
        await asyncio.to_thread(self._again)

    async def reachable(self, folder: Path) -> tuple[Gate, Path]:
        gate = Gate(self.port)
        await gate.open()
        self._gates.append(gate)
        return gate, self._kubeconfig(folder, gate.port)

    def _kubeconfig(self, folder: Path, port: int) -> Path:
        return kubeconfig(
            folder / f"kubeconfig-{port}",
            f"https://127.0.0.1:{port}",
            f"{{client-certificate: {self._admin.certificate}, client-key: {self._admin.key}}}",
            f", certificate-authority: {self._authority.root}",
        )

    async def leave(self) -> None:
        """After a test: nothing of it stays."""
        for gate in self._gates:
            await gate.shut()
        self._gates.clear()
        await asyncio.to_thread(self._empty)

    def _empty(self) -> None:
        for kind in KINDS:
            for item in self.request("GET", _path(kind, ""))["items"]:  # type: ignore[attr-defined]
                metadata = item["metadata"]
                self.request("DELETE", f"{_path(kind, metadata['namespace'])}/{metadata['name']}")


def _path(kind: str, namespace: str) -> str:
    known = KINDS[kind]
    place = f"namespaces/{namespace}/" if namespace else ""
    return f"/apis/{known.group}/{known.versions[0]}/{place}{known.plural}"


def _start(folder: Path, program: str, *arguments: str) -> subprocess.Popen[bytes]:
    if shutil.which(program) is None:
        raise AssertionError(f"{program} is under test and not on the PATH")
    with (folder / f"{program}.log").open("ab") as log:
        return subprocess.Popen([program, *arguments], stdout=log, stderr=log, cwd=folder)


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
