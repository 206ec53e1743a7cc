"""`roadstead get`: resources as `kubectl get` shows them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import rich_click as click

from roadstead.cli import exit_codes, jsonpath, output
from roadstead.cli.jsonpath import Tree
from roadstead.cli.options import Source, complain, load, source_options

if TYPE_CHECKING:
    from roadstead import Registry
    from roadstead.config import Resource, Spec

_FORMS = ("table", "wide", "name", "json", "yaml")
Cells = Callable[[dict[str, Tree]], Tree]


class _Kind(NamedTuple):
    """Names a kind is asked for by, and its columns as the CRD prints them; `wide` come with -o wide."""

    kind: str
    names: tuple[str, ...]
    columns: tuple[tuple[str, Cells], ...]
    wide: tuple[tuple[str, Cells], ...] = ()


def _at(*path: str) -> Cells:
    def cells(spec: dict[str, Tree]) -> Tree:
        value: Tree = spec
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    return cells


def _ports(spec: dict[str, Tree]) -> Tree:
    ports = spec.get("ports")
    if not isinstance(ports, list):
        return None
    return [f"{port.get('number')}/{port.get('protocol', '')}".rstrip("/") for port in ports if isinstance(port, dict)]


def _count(name: str) -> Cells:
    def cells(spec: dict[str, Tree]) -> Tree:
        value = spec.get(name)
        return len(value) if isinstance(value, list) else 0

    return cells


def _subsets(spec: dict[str, Tree]) -> Tree:
    subsets = spec.get("subsets")
    return [subset.get("name") for subset in subsets if isinstance(subset, dict)] if isinstance(subsets, list) else None


_KINDS = (
    _Kind(
        "ServiceEntry", ("serviceentry", "serviceentries", "se"),
        (("HOSTS", _at("hosts")), ("LOCATION", _at("location")), ("RESOLUTION", _at("resolution"))),
        (("PORTS", _ports), ("ADDRESSES", _at("addresses")), ("ENDPOINTS", _count("endpoints"))),
    ),
    _Kind(
        "VirtualService", ("virtualservice", "virtualservices", "vs"),
        (("GATEWAYS", _at("gateways")), ("HOSTS", _at("hosts"))),
        (("HTTP", _count("http")), ("TLS", _count("tls")), ("TCP", _count("tcp"))),
    ),
    _Kind(
        "DestinationRule", ("destinationrule", "destinationrules", "dr"),
        (("HOST", _at("host")),),
        (("SUBSETS", _subsets),),
    ),
    _Kind(
        "WorkloadEntry", ("workloadentry", "workloadentries", "we"),
        (("ADDRESS", _at("address")),),
        (("LOCALITY", _at("locality")), ("LABELS", _at("labels"))),
    ),
    _Kind("WorkloadGroup", ("workloadgroup", "workloadgroups", "wg"), ()),
    _Kind(
        "Gateway", ("gateway", "gateways", "gw"), (), (("SELECTOR", _at("selector")), ("SERVERS", _count("servers"))),
    ),
    _Kind("Sidecar", ("sidecar", "sidecars"), (), (("EGRESS", _count("egress")),)),
)  # fmt: skip


def _complete(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [kind.names[0] for kind in _KINDS if kind.names[0].startswith(incomplete)]


def _complete_form(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [form for form in (*_FORMS, "jsonpath=") if form.startswith(incomplete)]


@click.command("get")
@click.argument("kinds", metavar="KIND[,KIND...]", shell_complete=_complete)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-n", "--namespace", help="One namespace. Default: all, as files have no current one.")
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces (the default; as kubectl spells it).")
@click.option("-l", "--selector", metavar="NAME=VALUE,...", help="Resources with these labels.")
@click.option("--no-headers", is_flag=True, help="Tables without their first line.")
@click.option(
    "-o",
    "--output",
    "form",
    default="table",
    show_default=True,
    metavar="table|wide|name|json|yaml|jsonpath=TEMPLATE",
    shell_complete=_complete_form,
)
@source_options
def command(
    kinds: str,
    names: tuple[str, ...],
    namespace: str | None,
    all_namespaces: bool,
    selector: str | None,
    no_headers: bool,
    form: str,
    source: Source,
) -> int:
    """List resources, as kubectl get does.

    KIND: serviceentry (se), virtualservice (vs), destinationrule (dr), workloadentry (we), workloadgroup (wg),
    gateway (gw), sidecar, or all; KIND/NAME works too. Shown are the documents that were kept; `roadstead validate`
    tells of the others.

    \b
    roadstead get -f mesh/ serviceentry -A -o wide
    roadstead get -f mesh/ se external-service -o jsonpath='{.spec.resolution}'
    """
    if namespace is not None and all_namespaces:
        raise click.UsageError("give -n or -A, not both")
    if "/" in kinds:
        kinds, _, name = kinds.partition("/")
        names = (name, *names)
    wanted = _kinds(kinds)
    # kubectl takes -o=json for -o json.
    form = form.removeprefix("=")
    _check_form(form)
    registry = load(source)
    complain(registry.diagnostics)
    labels = dict(_label(text) for text in selector.split(",")) if selector else {}
    found = [(kind, _select(registry, kind, names, namespace, labels)) for kind in wanted]
    missing = [name for name in names if not any(_name(item) == name for _, items in found for item in items)]
    for name in missing:
        click.echo(f"{wanted[0].names[0]} {name!r} not found", err=True)
    items = [item for _, group in found for item in group]
    if form in ("table", "wide"):
        _tables([(kind, group) for kind, group in found if group], form == "wide", not no_headers)
    elif form == "name":
        for kind, group in found:
            for item in group:
                click.echo(f"{kind.names[0]}.networking.istio.io/{_name(item)}")
    else:
        _write(items, form, single=len(names) == 1 and len(items) == 1)
    return exit_codes.NO_INPUT if missing else exit_codes.OK


def _kinds(text: str) -> list[_Kind]:
    wanted = []
    for word in text.lower().split(","):
        plain = word.removesuffix(".networking.istio.io")
        found = [kind for kind in _KINDS if plain in kind.names or plain == "all"]
        if not found:
            known = ", ".join(kind.names[0] for kind in _KINDS)
            raise click.UsageError(f"no kind {word!r}: use {known} or all")
        wanted += found
    return wanted


def _check_form(form: str) -> None:
    if form not in _FORMS and not form.startswith("jsonpath="):
        raise click.UsageError(f"-o {form}: use table, wide, name, json, yaml or jsonpath=TEMPLATE")


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"-l {text}: expected NAME=VALUE")
    return name.strip(), value.removeprefix("=").strip()


def _select(
    registry: Registry, kind: _Kind, names: Sequence[str], namespace: str | None, labels: dict[str, str]
) -> list[dict[str, Tree]]:
    items = []
    for resource in registry.resources.values():
        key = resource.key
        if key.kind != kind.kind or (names and key.name not in names) or namespace not in (None, key.namespace):
            continue
        if labels.items() <= resource.metadata.labels.items():
            items.append(_document(resource))
    return sorted(items, key=lambda item: (_meta(item, "namespace"), _name(item)))


def _document(resource: Resource[Spec]) -> dict[str, Tree]:
    """The document as kubectl would write it: Istio's names, defaults left out but for what a column shows."""
    made: dict[str, Tree] = {"apiVersion": resource.api_version, "kind": resource.kind}
    for name in ("metadata", "spec", "status"):
        tree = output.tree_of(getattr(resource, name))
        if isinstance(tree, dict) and tree:
            if name == "metadata":
                tree.setdefault("namespace", resource.namespace)
            elif name == "spec" and resource.kind == "ServiceEntry":
                tree.setdefault("location", "MESH_EXTERNAL")
            made[name] = tree
    return made


def _meta(item: dict[str, Tree], name: str) -> str:
    metadata = item.get("metadata")
    value = metadata.get(name) if isinstance(metadata, dict) else None
    return str(value) if value is not None else ""


def _name(item: dict[str, Tree]) -> str:
    return _meta(item, "name")


def _tables(groups: list[tuple[_Kind, list[dict[str, Tree]]]], wide: bool, headers: bool) -> None:
    if not groups:
        click.echo("No resources found.", err=True)
    for number, (kind, items) in enumerate(groups):
        if number:
            click.echo()
        columns = kind.columns + (kind.wide if wide else ())
        rows = []
        for item in items:
            spec = item.get("spec")
            cells = [_cell(read(spec if isinstance(spec, dict) else {})) for _, read in columns]
            rows.append([_meta(item, "namespace"), _name(item), *cells, _age(_meta(item, "creationTimestamp"))])
        output.table(("NAMESPACE", "NAME", *(name for name, _ in columns), "AGE"), rows, headers=headers)


def _cell(value: Tree) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return "[" + ",".join(_cell(one) for one in value) + "]"
    if isinstance(value, dict):
        return ",".join(f"{name}={_cell(one)}" for name, one in value.items())
    return str(value)


def _age(created: str) -> str:
    """kubectl's short form; empty without a creationTimestamp, as files have none."""
    if not created:
        return ""
    from datetime import datetime

    try:
        seconds = int(time.time() - datetime.fromisoformat(created).timestamp())
    except ValueError:
        return ""
    for unit, size, limit in (("s", 1, 120), ("m", 60, 3 * 60), ("h", 3600, 48)):
        if seconds < size * limit:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86400}d"


def _write(items: list[dict[str, Tree]], form: str, *, single: bool) -> None:
    listed: list[Tree] = [*items]
    tree: Tree = items[0] if single else {"apiVersion": "v1", "kind": "List", "items": listed}
    if form.startswith("jsonpath="):
        click.echo(jsonpath.render(form.removeprefix("jsonpath="), tree))
    else:
        output.write(tree, form)
