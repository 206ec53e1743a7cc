"""A cluster as the tests see it, behind a gate: the small server of this folder, or real API machinery."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import msgspec
from tests.sources.collecting import entry
from tests.sources.kubernetes.gate import Gate
from tests.sources.kubernetes.server import ApiServer, Document

from roadstead.config.kinds import KINDS
from roadstead.config.yaml import load
from roadstead.sources.kubernetes import Kubernetes, Pace

QUICK = Pace(watch=60, first=0.002, longest=0.05)


class Cluster(Protocol):
    """What can be done to it."""

    async def put(self, text: str) -> None:
        """Create or replace the objects of a YAML text, one after the other."""

    async def delete(self, kind: str, namespace: str, name: str) -> None: ...

    async def forget(self, name: str) -> None:
        """Change the ServiceEntry of that name, in the namespace default, and others until what was before is not
        remembered."""

    async def reachable(self, folder: Path) -> tuple[Gate, Path]:
        """A gate of its own, and a kubeconfig that leads through it."""


def documents(text: str) -> list[Document]:
    """Of a YAML text, with the namespace that was left out."""
    found = [msgspec.json.decode(document.json or b"null") for document in load(text.encode(), "")]
    for document in found:
        document["metadata"].setdefault("namespace", "default")
    return found


def source(kubeconfig: Path, *, kinds: tuple[str, ...] = tuple(KINDS)) -> Kubernetes:
    """Quick to try again."""
    return Kubernetes(kubeconfig=kubeconfig, kinds=kinds, pace=QUICK)


def kubeconfig(path: Path, server: str, user: str = "{}", cluster: str = "") -> Path:
    """One context."""
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: it\n"
        f"clusters: [{{name: it, cluster: {{server: '{server}'{cluster}}}}}]\n"
        f"users: [{{name: me, user: {user}}}]\n"
        "contexts: [{name: it, context: {cluster: it, user: me}}]\n"
    )
    return path


class Small:
    """The server of this folder."""

    def __init__(self) -> None:
        self.server = ApiServer()
        self.server.served = {f"{kind.group}/v1/{kind.plural}" for kind in KINDS.values()}
        self._gates: list[Gate] = []

    async def put(self, text: str) -> None:
        for document in documents(text):
            await self.server.put(KINDS[str(document["kind"])].plural, document)

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        await self.server.delete(KINDS[kind].plural, namespace, name)

    async def forget(self, name: str) -> None:
        await self.put(entry(name))
        self.server.compact()

    async def reachable(self, folder: Path) -> tuple[Gate, Path]:
        gate = Gate(self.server.port)
        await gate.open()
        self._gates.append(gate)
        return gate, kubeconfig(folder / f"kubeconfig-{gate.port}", f"http://127.0.0.1:{gate.port}")

    async def stop(self) -> None:
        for gate in self._gates:
            await gate.shut()
        await self.server.stop()


@asynccontextmanager
async def small() -> AsyncIterator[Small]:
    """One that runs."""
    cluster = Small()
    await cluster.server.start()
    try:
        yield cluster
    finally:
        await cluster.stop()
