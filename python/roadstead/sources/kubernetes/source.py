"""The source: all kinds at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable

from roadstead.config.decode import Decoded
from roadstead.config.dialect import Dialect
from roadstead.config.kinds import KINDS
from roadstead.errors import SourceUnavailable
from roadstead.sources.kubernetes.api import TROUBLE, Api, why
from roadstead.sources.kubernetes.follower import DEFAULT_PACE, Follower, Pace
from roadstead.sources.kubernetes.intake import Intake
from roadstead.sources.kubernetes.listing import Listing, NotServed
from roadstead.sources.kubernetes.objects import Objects, meta_of
from roadstead.sources.layers import Layer


class Kubernetes:
    """Istio's objects in a cluster. Each is a piece.

    kubeconfig: a file; several, joined by ":" (Windows: ";"), are merged. Default: KUBECONFIG, else the service account
    where this runs in a pod, else ~/.kube/config. context: of the kubeconfig; default its current one. Tokens, client
    certificates, exec plug-ins and OIDC work as with kubectl; credentials that are refused are looked for again.
    namespaces: where to read; default all, for which the account must be allowed to list and watch the whole cluster.
    kinds: what to read ("ServiceEntry" …); default all that are known.
    timeout: seconds until a connection is made. pace: how long a watch lasts, and how soon is tried again.

    Every kind has to be read once before anything counts; a kind that the cluster does not know has no objects. A
    connection that is lost leaves everything as it was and is told in the source's status."""

    def __init__(
        self,
        *,
        kubeconfig: str | os.PathLike[str] | None = None,
        context: str | None = None,
        namespaces: Iterable[str] = (),
        kinds: Iterable[str] = tuple(KINDS),
        timeout: float = 10.0,
        pace: Pace = DEFAULT_PACE,
    ) -> None:
        if isinstance(namespaces, str) or isinstance(kinds, str):
            raise TypeError("namespaces and kinds are several names, not one")
        self._kubeconfig = None if kubeconfig is None else os.fspath(kubeconfig)
        self._context = context
        self._timeout = timeout
        self._pace = pace
        wanted = tuple(dict.fromkeys(kinds))
        for kind in wanted:
            if kind not in KINDS:
                raise ValueError(f"no kind {kind!r}: use {', '.join(KINDS)}")
        where = tuple(dict.fromkeys(namespaces))
        self._objects = [
            Objects(KINDS[kind], namespace, self._source()) for kind in wanted for namespace in where or ("",)
        ]
        self._where = where

    @property
    def name(self) -> str:
        """The context, if one was named, and the namespaces."""
        return f"{self._source()} in {', '.join(self._where)}" if self._where else self._source()

    def _source(self) -> str:
        return f"kubernetes({self._context})" if self._context else "kubernetes"

    def _api(self) -> Api:
        return Api(self._kubeconfig, self._context, timeout=self._timeout, patience=self._pace.longest)

    async def run(self, layer: Layer) -> None:
        """List, then watch; until cancelled."""
        intake = Intake(layer, self._objects)
        try:
            async with self._api() as api, asyncio.TaskGroup() as tasks:
                tasks.create_task(intake.run())
                for objects in self._objects:
                    tasks.create_task(Follower(api, objects, intake, layer.dialect, self._pace).run())
        except ExceptionGroup as group:
            # A defect: who is told of it wants to see it, and not that there was one.
            raise group.exceptions[0] from group

    async def read(self, dialect: Dialect = "extended") -> list[Decoded]:
        """Everything as it is now, once. Raises SourceUnavailable where it cannot be read."""
        try:
            async with self._api() as api:
                found = await asyncio.gather(*[_all(api, objects, dialect) for objects in self._objects])
        except TROUBLE as trouble:
            raise SourceUnavailable(f"{self.name}: {why(trouble)}") from trouble
        if all(one is None for one in found):
            raise SourceUnavailable(f"{self.name}: the cluster has none of Istio's CustomResourceDefinitions")
        return [decoded for one in found for decoded in one or ()]


async def _all(api: Api, objects: Objects, dialect: Dialect) -> list[Decoded] | None:
    """All objects of a kind; None: the cluster does not know it."""
    made: list[Decoded] = []
    try:
        async for page in Listing(objects).pages(api):
            made += [objects.decode(raw, objects.piece(meta_of(raw)), dialect) for raw in map(bytes, page.items or ())]
    except NotServed:
        return None
    return made
