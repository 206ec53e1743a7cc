"""The page's section "Peers": Python packages and Rust crates beside the engine, with what each takes of memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Timing, measure, ratio
from benchmarks.peers import cases

_ROOT = Path(__file__).parents[2]
_MANIFEST = _ROOT / "native" / "peers" / "Cargo.toml"
ENDPOINTS = (10, 50, 500)


def lines(sizes: list[int], rounds: int) -> Iterator[str]:
    """Markdown; the crates are compiled first, which takes minutes the first time."""
    yield "## Peers"
    yield ""
    yield "Made by `python -m benchmarks peers`: the engine beside packages and crates that do a part of what it does. Memory is"
    yield "what the structure keeps: in Rust counted by the allocator, in Python the growth of a process of its own. Times are the"
    yield "processor's: what else runs on the machine does not count."
    yield ""
    for section in rust(sizes, rounds):
        yield from _table(section["title"], section["about"], *_timed(section))
    for size in sizes:
        for title, about, found in cases.sections(size):
            yield from _python(title, about, found, size, rounds)
    for size in ENDPOINTS:
        for title, about, found in cases.endpoint_sections(size):
            yield from _python(title, about, found, size, rounds)


def rust(sizes: list[int], rounds: int) -> list[dict[str, Any]]:
    """What native/peers measured."""
    command = ["cargo", "run", "--quiet", "--locked", "--release", "--manifest-path", str(_MANIFEST), "--"]
    done = subprocess.run([*command, *map(str, (rounds, *sizes))], check=True, stdout=subprocess.PIPE, text=True)
    sections: list[dict[str, Any]] = json.loads(done.stdout)
    return sections


def _timed(section: dict[str, Any]) -> tuple[dict[str, Timing], dict[str, float | None]]:
    timings, kept = {}, {}
    for row in section["cases"]:
        owed = tuple((name, most) for name, most in row["owed"])
        timings[row["name"]] = Timing(Case(row["name"], lambda _: None, owed=owed), tuple(row["rounds"]))
        kept[row["name"]] = row["bytes"]
    return timings, kept


def _python(title: str, about: str, found: list[Case], size: int, rounds: int) -> Iterator[str]:
    timings = measure(found, rounds, loop=cases.bare_loop(), clock=time.thread_time)
    kept = {case.name: memory(case.name, size) if case.name in cases.MADE else None for case in found}
    yield from _table(title, about, timings, kept)


def _table(title: str, about: str, timings: dict[str, Timing], kept: dict[str, float | None]) -> Iterator[str]:
    reference = next(iter(timings.values()))
    yield f"### {title}"
    yield ""
    yield about
    yield ""
    yield f"| case | time | × {reference.case.name} | memory | owed | holds |"
    yield "|---|---|---|---|---|---|"
    for name, timing in timings.items():
        owed = [(other, most, ratio(timing, timings[other])) for other, most in timing.case.owed]
        wanted = "; ".join(f"≤ {most:.2g} × {other}" for other, most, _ in owed)
        holds = "; ".join("yes" if got <= most else f"no, {got:.2g} ×" for _, most, got in owed)
        row = [
            name,
            f"{timing.median * 1e9:.3g} ns",
            f"{ratio(timing, reference):.2f}",
            _bytes(kept[name]),
            wanted,
            holds,
        ]
        yield f"| {' | '.join(row)} |"
    yield ""


def _bytes(count: float | None) -> str:
    if count is None:
        return ""
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"


_PROGRAM = """
import gc, resource, sys
from benchmarks.peers.cases import MADE
def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
make = MADE[sys.argv[1]]
make(1)
bare = resident()
made = make(int(sys.argv[2]))
print(resident() - bare)
"""


def memory(name: str, size: int) -> float:
    """Bytes that a process grows by when it makes the structure."""
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-c", _PROGRAM, name, str(size)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    return float(done.stdout)
