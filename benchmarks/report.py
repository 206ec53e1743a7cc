"""Every question, measured and written as one page of Markdown."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from benchmarks import meshes
from benchmarks.case import Case, Timing, measure, ratio
from benchmarks.clients import cases as clients
from benchmarks.columns import cases as columns
from benchmarks.load import cases as load
from benchmarks.lookup import cases as lookup
from benchmarks.metrics import cases as metrics
from benchmarks.pick import cases as pick
from benchmarks.reload import cases as reload
from benchmarks.resources import cases as resources
from benchmarks.route import cases as route
from benchmarks.update import cases as update
from benchmarks.upkeep import cases as upkeep

Show = Callable[[str], object]


def write(rounds: int, show: Show) -> str:
    """Measure all questions at all sizes; the page. show: gets each line as it is known."""
    lines: list[str] = []
    for line in _page(rounds):
        lines.append(line)
        show(line)
    return "\n".join(lines) + "\n"


def _page(rounds: int) -> Iterator[str]:
    yield "# Benchmarks"
    yield ""
    yield "Made by `python -m benchmarks report`. What counts is the **ratio** to a reference measured in the same run, round by"
    yield "round in turn; absolute times of a shared machine move by a third. The bare loop is taken off calls of nanoseconds."
    yield ""
    yield from _machine()
    # First, while this process is small.
    yield from _imports()
    yield from _loads(rounds)
    yield from _columns()
    for size in meshes.SIZES:
        for cold in (False, True):
            yield from _section(
                f"Look-up, {size:,} hosts, {'cold' if cold else 'hot'}",
                lookup.__doc__, lookup.cases(size, cold=cold), rounds, lookup.bare_loop(size, cold),
            )  # fmt: skip
    yield from _section("Route", route.__doc__, route.cases(), rounds, route.bare_loop())
    yield from _section("Pick", pick.__doc__, pick.cases(), rounds, pick.bare_loop())
    with clients.cases() as made:
        yield from _section("Clients over loopback", clients.__doc__, made, rounds)
    yield from _section("Metrics", metrics.__doc__, metrics.cases(), rounds * 5, metrics.bare_loop())
    for size in meshes.SIZES:
        yield from _section(f"Update, {size:,} services", update.__doc__, update.cases(size), rounds * 5)
    size = min(10_000, max(meshes.SIZES))
    yield from _section(
        f"Envoy's clusters, {size:,} services", resources.__doc__, resources.cases(size), max(1, rounds // 5)
    )
    yield from _reloads(size)
    yield from _upkeep(rounds)
    yield from _peers()
    yield PROXY.read_text(encoding="utf-8")
    yield from _missed()


def _reloads(size: int) -> Iterator[str]:
    yield f"## Reload, {size:,} services"
    yield ""
    yield (reload.__doc__ or "").strip()
    yield ""
    yield "| what changes | visible after | decisions | median | 999 of 1,000 | owed | holds | with the wait for the interpreter |"
    yield "|---|---|---|---|---|---|---|---|"
    for one in reload.reloads(size):
        holds = "yes" if one.worst <= reload.LIMIT else "no"
        taken = f"{one.decisions:,} | {_time(one.median)} | {_time(one.worst)} | ≤ {_time(reload.LIMIT)} | {holds}"
        yield f"| {one.what} | {_time(one.seconds)} | {taken} | {_time(one.late)} |"
    yield ""


def _upkeep(rounds: int) -> Iterator[str]:
    yield f"## DNS, {upkeep.NAMES:,} names"
    yield ""
    yield (upkeep.__doc__ or "").strip()
    yield ""
    yield "| library | look-ups | each | share of a core | owed | holds |"
    yield "|---|---|---|---|---|---|"
    for one in upkeep.shares() if rounds > 1 else upkeep.shares(10, 0.5):
        holds = "yes" if one.share <= one.owed else "no"
        yield f"| {one.resolver} | {one.look_ups} | {_time(one.each)} | {one.share:.2%} | ≤ {one.owed:.1%} | {holds} |"
    yield ""


PEERS = Path(__file__).parent / "peers.md"
_PEERS_TITLE, _MISSED_TITLE = "## Peers\n", "## What is missed"


def _peers() -> Iterator[str]:
    """As `python -m benchmarks peers` measured them last: its crates are compiled on demand only."""
    yield PEERS.read_text(encoding="utf-8")


def write_peers(rounds: int, page: Path, show: Show) -> None:
    """Measure beside the peers; the section, alone and in its place on the page."""
    from benchmarks.peers import report

    lines: list[str] = []
    for line in report.lines(list(meshes.SIZES), rounds):
        lines.append(line)
        show(line)
    section = "\n".join(lines) + "\n"
    PEERS.write_text(section, encoding="utf-8")
    before, _, rest = page.read_text(encoding="utf-8").partition(_MISSED_TITLE)
    page.write_text(f"{before.partition(_PEERS_TITLE)[0]}{section}{_MISSED_TITLE}{rest}", encoding="utf-8")


PROXY = Path(__file__).parent / "proxy.md"
_PROXY_TITLE = "## Proxy\n"


def write_proxy(rounds: int, page: Path, show: Show) -> None:
    """Measure the proxy beside others; the section, alone and in its place on the page."""
    from benchmarks.proxy import measure as proxy

    lines = [_PROXY_TITLE.strip(), "", (proxy.__doc__ or "").strip(), ""]
    lines += [*proxy.about(), "", *proxy.table(proxy.measure(rounds)), ""]
    show("\n".join(lines))
    section = "\n".join(lines) + "\n"
    PROXY.write_text(section, encoding="utf-8")
    before, _, rest = page.read_text(encoding="utf-8").partition(_MISSED_TITLE)
    page.write_text(f"{before.partition(_PROXY_TITLE)[0]}{section}{_MISSED_TITLE}{rest}", encoding="utf-8")


def _missed() -> Iterator[str]:
    yield (Path(__file__).parent / "missed.md").read_text(encoding="utf-8").rstrip()


def _machine() -> Iterator[str]:
    packages = ", ".join(f"{name} {version(name)}" for name in ("roadstead", "msgspec", "PyYAML"))
    yield f"* machine: {_processor()}, {os.cpu_count()} processors, {platform.system()} {platform.machine()}"
    yield f"* Python {platform.python_version()} ({platform.python_implementation()}), {packages}"
    yield f"* sizes: {', '.join(f'{size:,}' for size in meshes.SIZES)} hosts; workload: benchmarks/workload.py"
    yield "* query sets: hot, 1,000 hosts again and again; cold, every host once, shuffled, fresh strings"
    yield ""


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def _section(title: str, about: str | None, cases: list[Case], rounds: int, loop: Case | None = None) -> Iterator[str]:
    timings = measure(cases, rounds, loop=loop)
    yield f"## {title}"
    yield ""
    yield (about or "").strip().splitlines()[0]
    yield ""
    yield from _table(timings)
    yield ""


def _table(timings: dict[str, Timing]) -> Iterator[str]:
    reference = next(iter(timings.values()))
    yield f"| case | time | × {reference.case.name} | owed | holds |"
    yield "|---|---|---|---|---|"
    for timing in timings.values():
        owed = [(name, limit, ratio(timing, timings[name])) for name, limit in timing.case.owed]
        wanted = [f"≤ {limit:g} × {name}" for name, limit, _ in owed]
        holds = ["yes" if got <= limit else f"no, {got:.2f} ×" for _, limit, got in owed]
        if timing.case.limit:
            wanted.append(f"≤ {_time(timing.case.limit)}")
            holds.append("yes" if timing.median <= timing.case.limit else "no")
        yield f"| {timing.case.name} | {_time(timing.median)} | {ratio(timing, reference):.2f} | {'; '.join(wanted)} | {'; '.join(holds)} |"


def _time(seconds: float) -> str:
    seconds = max(seconds, 0.0)
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _loads(rounds: int) -> Iterator[str]:
    size = min(10_000, max(meshes.SIZES))
    yield from _section(f"Load, {size:,} services", load.__doc__, load.cases(size), max(1, rounds // 5))
    yield "| engine | resident over the bare process | peak | owed | holds |"
    yield "|---|---|---|---|---|"
    for engine in meshes.ENGINES:
        used = load.memory(engine, size)
        owed = ("≤ 50 MB", "yes" if used.resident <= 50 else "no") if engine == "native" else ("", "")
        yield f"| {engine} | {used.resident:.0f} MB | {used.peak:.0f} MB | {owed[0]} | {owed[1]} |"
    yield ""


def _columns() -> Iterator[str]:
    yield "## Engine from columns"
    yield ""
    yield (columns.__doc__ or "").strip().splitlines()[0]
    yield ""
    yield "| hosts | filled in | resident a host over its text | look-up by column | × the smallest | the same of a dict | owed | holds |"
    yield "|---|---|---|---|---|---|---|---|"
    smallest: columns.Filled | None = None
    for size in (*meshes.SIZES, 10 * max(meshes.SIZES)):
        one = columns.filled("native", size)
        smallest = smallest or one
        owed = "≤ 3 s; ≤ 200 bytes" if size == 1_000_000 else ""
        holds = ("yes" if one.seconds <= 3 and one.bytes <= 200 else "no") if owed else ""
        grown = one.find / smallest.find
        yield (
            f"| {size:,} | {_time(one.seconds)} | {one.bytes:.0f} bytes | {_time(one.find / 1e9)} | {grown:.2f} "
            f"| {_time(one.find_dict / 1e9)}, {one.find_dict / smallest.find_dict:.2f} | {owed} | {holds} |"
        )
    yield ""


def _imports() -> Iterator[str]:
    limits = {"import roadstead": 0.015, "from roadstead import Registry": 0.060}
    yield "## Import"
    yield ""
    yield "| statement | over the bare interpreter | owed | holds |"
    yield "|---|---|---|---|"
    for name, seconds in load.imports().items():
        limit = limits.get(name)
        holds = ("", "") if limit is None else (f"≤ {_time(limit)}", "yes" if seconds <= limit else "no")
        yield f"| `{name}` | {_time(seconds)} | {holds[0]} | {holds[1]} |"
    yield ""
