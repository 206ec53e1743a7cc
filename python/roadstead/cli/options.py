"""Options that several verbs share: where configuration comes from, and for which client it is compiled."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, ParamSpec, TypeVar

import msgspec
import rich_click as click

from roadstead.cli import exit_codes
from roadstead.cli.kubernetes import Cluster, cluster_options, read_into

if TYPE_CHECKING:
    from roadstead import Node, Registry
    from roadstead.config import Finding

P = ParamSpec("P")
T = TypeVar("T")
Dialect = Literal["istio", "extended"]


class Source(msgspec.Struct, frozen=True):
    """Where configuration comes from and how it is read."""

    paths: tuple[str, ...]
    cluster: Cluster | None
    mesh: str | None
    networks: str | None
    dialect: Dialect
    engine: str | None

    def __str__(self) -> str:
        return ", ".join([*self.paths, *([str(self.cluster)] if self.cluster is not None else [])])


class Client(msgspec.Struct, frozen=True):
    """The workload on whose behalf a decision is made."""

    file: str | None
    type: Literal["sidecar", "router"] | None
    namespace: str | None
    labels: tuple[str, ...]
    locality: str | None
    network: str | None
    cluster: str | None

    def node(self) -> Node:
        """The node: the file's, with what the other options say instead."""
        from roadstead import Node

        node = Node()
        if self.file is not None:
            try:
                node = Node.from_json(self.file)
            except OSError as error:
                raise _Failure(f"--node {self.file}: {error.strerror}", exit_codes.NO_INPUT) from None
            except msgspec.MsgspecError as error:
                raise _Failure(f"--node {self.file}: {error}", exit_codes.DATA) from None
        given: dict[str, object] = {
            name: value
            for name in ("type", "namespace", "locality", "network", "cluster")
            if (value := getattr(self, name)) is not None
        }
        if self.locality and self.locality.count("/") > 2:
            raise click.UsageError(f"--locality {self.locality}: expected REGION/ZONE/SUBZONE")
        if self.labels:
            given["labels"] = node.labels | dict(_label(text) for text in self.labels)
        return msgspec.structs.replace(node, **given) if given else node


class _Failure(click.ClickException):
    exit_code: int  # type: ignore[misc] # each failure has its own

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code


def fail(message: str, code: int) -> NoReturn:
    """End the command with an error and an exit code."""
    raise _Failure(message, code)


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--label {text}: expected NAME=VALUE")
    return name, value


def source_options(command: Callable[P, T]) -> Callable[P, T]:
    """Adds -f, the options of a cluster, --mesh, --networks, --dialect and --engine; the command gets one `source`."""

    @click.option(
        "-f", "--filename", "paths", multiple=True, metavar="PATH",
        type=click.Path(allow_dash=True),
        help="File, folder, or - for standard input; repeatable. Default: ROADSTEAD_CONFIG "
        f"(several paths are joined by '{os.pathsep}').",
    )  # fmt: skip
    @cluster_options
    @click.option("--mesh", type=click.Path(), metavar="FILE", help="MeshConfig.")
    @click.option("--networks", type=click.Path(), metavar="FILE", help="MeshNetworks.")
    @click.option(
        "--dialect", type=click.Choice(["extended", "istio"]), default="extended", show_default=True,
        help="istio: exactly what Istio accepts and means; extended: what the common guides write works too.",
    )  # fmt: skip
    @click.option("--engine", type=click.Choice(["native", "fallback"]), help="Default: native where it is installed.")
    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        paths = kwargs.pop("paths", ())
        assert isinstance(paths, tuple)
        cluster = kwargs.pop("kubernetes", None)
        if not paths and cluster is None and os.environ.get("ROADSTEAD_CONFIG"):
            paths = tuple(filter(None, os.environ["ROADSTEAD_CONFIG"].split(os.pathsep)))
        if not paths and cluster is None:
            raise click.UsageError("no configuration: give -f PATH or --kubernetes, or set ROADSTEAD_CONFIG")
        given = {name: kwargs.pop(name) for name in ("mesh", "networks", "dialect", "engine")}
        given["cluster"] = cluster
        kwargs["source"] = msgspec.convert({"paths": paths, **given}, Source)
        return command(*args, **kwargs)

    return wrapped


def client_options(command: Callable[P, T]) -> Callable[P, T]:
    """Adds --node and the options that say who asks; the command gets one `client`."""

    @click.option(
        "--node",
        "node_file",
        type=click.Path(),
        metavar="FILE",
        help="proxy.json of the client; the options below override it.",
    )
    @click.option(
        "--type", "node_type", type=click.Choice(["sidecar", "router"]), help="Kind of client. Default: sidecar."
    )
    @click.option("--from-namespace", metavar="NAME", help="Namespace of the client. Default: default.")
    @click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Label of the client; repeatable.")
    @click.option("--locality", metavar="REGION/ZONE/SUBZONE", help="Where the client runs.")
    @click.option("--network", metavar="NAME", help="Network of the client.")
    @click.option("--cluster", metavar="NAME", help="Cluster id of the client.")
    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        given = {
            "file": kwargs.pop("node_file"),
            "type": kwargs.pop("node_type"),
            "namespace": kwargs.pop("from_namespace"),
            **{name: kwargs.pop(name) for name in ("labels", "locality", "network", "cluster")},
        }
        kwargs["client"] = msgspec.convert(given, Client)
        return command(*args, **kwargs)

    return wrapped


def load(source: Source, client: Client | None = None, *, seed: int | None = None) -> Registry:
    """The registry of a source; what cannot be read ends the command with the exit code that says why."""
    from roadstead import InputError, MissingExtra, Registry, SourceUnavailable

    for path in (source.mesh, source.networks):
        if path is not None and not Path(path).exists():
            raise _Failure(f"{path}: no such file", exit_codes.NO_INPUT)
    try:
        registry = Registry.from_files(
            *source.paths,
            node=None if client is None else client.node(),
            mesh=source.mesh,
            networks=source.networks,
            dialect=source.dialect,
            backend=source.engine,
            seed=seed,
        )
        if source.cluster is not None:
            read_into(registry, source.cluster)
        return registry
    except SourceUnavailable as error:
        raise _Failure(str(error), exit_codes.UNAVAILABLE) from None
    except MissingExtra as error:
        raise _Failure(str(error), exit_codes.USAGE) from None
    except FileNotFoundError as error:
        raise _Failure(f"{error.filename}: no such file or folder", exit_codes.NO_INPUT) from None
    except OSError as error:
        raise _Failure(f"{error.filename}: {error.strerror}", exit_codes.IO) from None
    except InputError as error:
        raise _Failure(str(error), exit_codes.DATA) from None


def empty(source: Source, client: Client) -> Registry:
    """A registry with the settings of a source and without its resources, for who follows those as they change."""
    from roadstead import InputError, Registry

    for path in (source.mesh, source.networks):
        if path is not None and not Path(path).exists():
            raise _Failure(f"{path}: no such file", exit_codes.NO_INPUT)
    try:
        return Registry(
            node=client.node(),
            mesh=source.mesh,
            networks=source.networks,
            dialect=source.dialect,
            backend=source.engine,
        )
    except InputError as error:
        raise _Failure(str(error), exit_codes.DATA) from None


def complain(findings: tuple[Finding, ...] | list[Finding]) -> None:
    """Errors and warnings of loading on standard error: what follows was decided without the refused documents."""
    for finding in findings:
        if finding.severity == "error":
            click.echo(str(finding), err=True)
