"""`roadstead bench`: what decisions cost on this machine, on the user's own configuration."""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import rich_click as click

from roadstead.cli import exit_codes, output
from roadstead.cli.options import Client, Source, client_options, complain, load, source_options
from roadstead.errors import Unavailable

if TYPE_CHECKING:
    from roadstead import Registry

Query = tuple[str, int]
_ROUND = 20_000


class Result(msgspec.Struct, frozen=True):
    """nanoseconds: median of one call. relative: times the look-up `dict[(host, port)]` in the same run."""

    what: str
    nanoseconds: float
    per_second: int
    relative: float


class Report(msgspec.Struct, frozen=True):
    engine: str
    hosts: int
    clusters: int
    load_seconds: float
    results: tuple[Result, ...]


@click.command("bench")
@click.option(
    "--seconds",
    type=click.FloatRange(0.01, 600),
    default=2.0,
    show_default=True,
    help="Time for all measurements together.",
)
@click.option("--path", default="/", show_default=True, help="Path of the requests.")
@click.option(
    "-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True
)
@source_options
@client_options
def command(seconds: float, path: str, form: str, source: Source, client: Client) -> int:
    """Time this machine's decisions on your configuration.

    Every declared host and port is asked in random order: find, route, route + pick, beside a plain Python dict.

    \b
    roadstead bench -f mesh/ --seconds 5
    """
    start = time.perf_counter()
    registry = load(source, client)
    loaded = time.perf_counter() - start
    complain(registry.diagnostics)
    queries = _queries(registry)
    if not queries:
        click.echo("nothing to ask: no service with a port", err=True)
        return exit_codes.NO_INPUT
    report = Report(
        engine=registry.backend,
        hosts=len({host for host, _ in queries}),
        clusters=sum(cluster is not None for cluster in registry.clusters()),
        load_seconds=round(loaded, 4),
        results=tuple(_measure(registry, queries, path, seconds)),
    )
    if form == "table":
        _show(report)
    else:
        output.write(output.tree_of(report), form)
    return exit_codes.OK


def _queries(registry: Registry) -> list[Query]:
    found = []
    for service in registry.services():
        if service is not None:
            host = service.host.replace("*", "any", 1)
            found += [(host, number) for number, _, _ in service.ports]
    random.Random(1).shuffle(found)
    return found


def _measure(registry: Registry, queries: list[Query], path: str, seconds: float) -> list[Result]:
    repeat = max(1, _ROUND // len(queries))
    asked = queries * repeat
    known = dict.fromkeys(queries, 0)
    find, route = registry.find, registry.route

    def loop() -> None:
        for _host, _port in asked:
            pass

    def look_up() -> None:
        for host, port in asked:
            known[(host, port)]

    def find_all() -> None:
        for host, port in asked:
            find(host, port)

    def route_all() -> None:
        for host, port in asked:
            route(host, port, path)

    def pick_all() -> None:
        for host, port in asked:
            decision = route(host, port, path)
            try:
                decision.pick()
            except Unavailable:
                continue

    whats: dict[str, Callable[[], None]] = {
        "loop": loop, "dict look-up": look_up, "find": find_all, "route": route_all, "route + pick": pick_all,
    }  # fmt: skip
    taken = _rounds(whats, seconds)
    bare = statistics.median(taken.pop("loop"))
    medians = {what: max(statistics.median(rounds) - bare, 1e-12) / len(asked) for what, rounds in taken.items()}
    reference = medians["dict look-up"]
    return [Result(what, round(one * 1e9, 1), int(1 / one), round(one / reference, 2)) for what, one in medians.items()]


def _rounds(whats: dict[str, Callable[[], None]], seconds: float) -> dict[str, list[float]]:
    """Rounds in turn until the time is over, at least three; progress on a terminal."""
    taken: dict[str, list[float]] = {what: [] for what in whats}
    end = time.perf_counter() + seconds
    with click.progressbar(length=100, label="measuring", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        done = 0
        while time.perf_counter() < end or len(taken["loop"]) < 3:
            for what, run in whats.items():
                start = time.perf_counter()
                run()
                taken[what].append(time.perf_counter() - start)
            percent = min(100, int(100 * (1 - (end - time.perf_counter()) / seconds)))
            bar.update(percent - done)
            done = percent
    return taken


def _show(report: Report) -> None:
    size = f"{report.hosts:,} hosts, {report.clusters:,} clusters"
    click.echo(f"{size}, loaded in {report.load_seconds:.3g} s; {report.engine} engine")
    click.echo()
    rows = [
        [one.what, f"{one.nanoseconds:,.0f} ns", f"{one.per_second:,}", f"{one.relative:.2f}"] for one in report.results
    ]
    output.table(("WHAT", "TIME", "PER SECOND", "× DICT"), rows)
