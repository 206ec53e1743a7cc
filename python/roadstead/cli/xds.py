"""`roadstead xds`: the configuration as Envoy's resources."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import rich_click as click

from roadstead.cli import exit_codes
from roadstead.cli.options import Client, Source, complain, fail, load, source_options

if TYPE_CHECKING:
    from roadstead.mesh import Mesh, Node

_KINDS = ("clusters", "endpoints", "listeners", "routes")
_PREFIX = "proxy"


@click.group("xds")
def command() -> None:
    """Show the configuration as Envoy sees it."""


@command.command("dump")
@click.option(
    "--node", "nodes", type=click.Path(), multiple=True, metavar="FILE",
    help="proxy.json of a client; repeatable: what proxy-NAME.json gets is written to clusters-NAME.json and so on. "
    "Default: a sidecar in the namespace default.",
)  # fmt: skip
@click.option(
    "-o", "--output", "folder", type=click.Path(file_okay=False), required=True, metavar="DIR", help="Where to write."
)
@source_options
def dump(nodes: tuple[str, ...], folder: str, source: Source) -> int:
    """Write clusters, endpoints, listeners and routes as Envoy v3 resources (protobuf's JSON), and the services seen.

    \b
    roadstead xds dump -f mesh/ --node proxy.json --dialect istio -o out/
    """
    clients = {_suffix(path): _client(path).node() for path in nodes} if nodes else {"": _client(None).node()}
    if len(clients) < len(nodes):
        raise click.UsageError("--node: two files with one NAME would be written to the same place")
    suffixes = list(clients)
    registry = load(source)
    complain(registry.diagnostics)
    out = Path(folder)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for suffix in suffixes:
            node = clients[suffix]
            _write(out, suffix, registry.view(node).mesh, node)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", exit_codes.IO)
    return exit_codes.OK


def _client(path: str | None) -> Client:
    return Client(path, None, None, (), None, None, None)


def _suffix(path: str) -> str:
    """`proxy-NAME.json` -> `-NAME`; `proxy.json` -> nothing."""
    stem = Path(path).stem
    if stem == _PREFIX:
        return ""
    if stem.startswith(f"{_PREFIX}-"):
        return stem.removeprefix(_PREFIX)
    return f"-{stem}"


def _write(folder: Path, suffix: str, mesh: Mesh, node: Node) -> None:
    from roadstead.xds.json import to_json
    from roadstead.xds.resources import resources
    from roadstead.xds.resources.services import seen_services

    made = resources(mesh, node)
    for kind, messages in zip(_KINDS, (made.clusters, made.endpoints, made.listeners, made.routes), strict=True):
        _save(folder / f"{kind}{suffix}.json", [to_json(message) for message in messages])
    _save(folder / f"services{suffix}.json", seen_services(mesh))


def _save(path: Path, value: object) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=1) + b"\n")
