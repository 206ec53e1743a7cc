"""A cluster as the place configuration comes from, beside files or instead of them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import msgspec
import rich_click as click

if TYPE_CHECKING:
    from roadstead import Registry
    from roadstead.sources.kubernetes import Kubernetes

P = ParamSpec("P")
T = TypeVar("T")


class Cluster(msgspec.Struct, frozen=True):
    """Which cluster, and what of it; namespaces: () for all."""

    kubeconfig: str | None
    context: str | None
    namespaces: tuple[str, ...]

    def __str__(self) -> str:
        return f"the cluster of context {self.context}" if self.context else "the cluster"


def cluster_options(command: Callable[P, T]) -> Callable[P, T]:
    """Adds --kubernetes, --kubeconfig, --context and --kube-namespace; the command gets one `kubernetes`, or None."""

    @click.option(
        "--kubernetes", "wanted", is_flag=True,
        help="Read the cluster that kubectl talks to (inside a pod: its own), once (proxy: follow it); what -f brings "
        "counts above it. Needs roadstead[kubernetes].",
    )  # fmt: skip
    @click.option("--kubeconfig", type=click.Path(), metavar="FILE", help="Default: as kubectl. Implies --kubernetes.")
    @click.option("--context", metavar="NAME", help="Default: the current one. Implies --kubernetes.")
    @click.option(
        "--kube-namespace", "namespaces", multiple=True, metavar="NAME",
        help="Read only this namespace; repeatable. Default: all. Implies --kubernetes.",
    )  # fmt: skip
    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        given = {name: kwargs.pop(name) for name in ("kubeconfig", "context", "namespaces")}
        wanted = kwargs.pop("wanted") or any(given.values())
        kwargs["kubernetes"] = msgspec.convert(given, Cluster) if wanted else None
        return command(*args, **kwargs)

    return wrapped


def followed(cluster: Cluster) -> Kubernetes:
    """The cluster as a source for `Live`."""
    from roadstead.sources.kubernetes import Kubernetes

    return Kubernetes(kubeconfig=cluster.kubeconfig, context=cluster.context, namespaces=cluster.namespaces)


def read_into(registry: Registry, cluster: Cluster) -> None:
    """Put what the cluster has below what the registry has. Raises SourceUnavailable where it cannot be read."""
    found = asyncio.run(followed(cluster).read(registry.dialect))
    above = set(registry.resources)
    registry.apply([one for one in found if not any(resource.key in above for resource in one.resources)])


__all__ = ["Cluster", "cluster_options", "followed", "read_into"]
