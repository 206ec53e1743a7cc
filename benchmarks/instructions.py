"""Instructions of the hot functions, counted by valgrind: what a slow, busy machine cannot blur.

`python -m benchmarks instructions` counts and compares with instructions.json. A function that needs more than the tolerance
allows fails the run. Where more is meant, or much less is reached, `--record` makes today's counts the ones to hold; commit
the file with the change that explains it. Compiled by another Rust, or counted on other processors, counts differ without
that anything became slower: then the tolerance is wider, and renewing them here narrows it again.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

BASELINE = Path(__file__).parent / "instructions.json"
_CORE = Path(__file__).parents[1] / "native" / "core" / "Cargo.toml"
_RUN = "python -m benchmarks instructions --record"
# Calls in one run of a function.
_OPERATIONS = 1000
# Shares by which a count may exceed the recorded one: compiled alike, and otherwise.
_SAME, _OTHER = 0.03, 0.20


class Counts(NamedTuple):
    """Instructions of one call of each function, and what compiled and counted them."""

    toolchain: dict[str, str]
    instructions: dict[str, float]


def toolchain() -> dict[str, str]:
    """What counts depend on beside the code."""
    return {
        "rustc": _output("rustc", "--version"),
        "valgrind": _output("valgrind", "--version"),
        "machine": platform.machine(),
        # Libraries choose other instructions where the processor has them.
        "avx2": str("avx2" in _processor()),
        "libc": " ".join(platform.libc_ver()),
    }


def _processor() -> list[str]:
    known = Path("/proc/cpuinfo")
    return known.read_text(encoding="utf-8").split() if known.exists() else []


def count() -> Counts:
    """Compile and run the functions under callgrind: one dump for each."""
    binary = _compiled()
    names = _output(binary, "--list").split()
    with tempfile.TemporaryDirectory() as folder:
        options = ["--collect-atstart=no", "--toggle-collect=counted", "--dump-after=counted", "--combine-dumps=no"]
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", *options, binary]
        subprocess.run(command, check=True, capture_output=True)
        # One dump a call, in the order of the names; all are called twice, and the first time they make what they need.
        dumps = [Path(folder) / f"out.{len(names) + at + 1}" for at in range(len(names))]
        found = {name: _total(path) / _OPERATIONS for name, path in zip(names, dumps, strict=True)}
    return Counts(toolchain(), found)


def _total(dump: Path) -> int:
    total = re.search(r"^totals: (\d+)", dump.read_text(encoding="utf-8"), re.MULTILINE)
    if total is None or int(total[1]) == 0:
        raise RuntimeError("callgrind counted nothing")
    return int(total[1])


def _compiled() -> str:
    command = ["cargo", "bench", "--quiet", "--locked", "--manifest-path", str(_CORE), "--bench", "instructions"]
    done = subprocess.run(
        [*command, "--no-run", "--message-format=json"], check=True, stdout=subprocess.PIPE, text=True
    )
    messages = map(json.loads, done.stdout.splitlines())
    binaries = [message["executable"] for message in messages if message.get("executable")]
    return str(binaries[-1])


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def record(counts: Counts) -> None:
    """Make the counts what later ones are compared with."""
    BASELINE.write_text(json.dumps(counts._asdict(), indent=2) + "\n", encoding="utf-8")


def compare(counts: Counts, recorded: Counts, show: Callable[[str], object]) -> bool:
    """Print both; False where a function needs more than the tolerance allows, or is missing on one side."""
    alike = counts.toolchain == recorded.toolchain
    tolerance = _SAME if alike else _OTHER
    if not alike:
        show(f"recorded with {recorded.toolchain}, counted with {counts.toolchain}:")
    show(f"instructions of one call, at most {tolerance:.0%} more than recorded")
    good = True
    for name in sorted(counts.instructions.keys() | recorded.instructions.keys()):
        now, before = counts.instructions.get(name), recorded.instructions.get(name)
        if now is None or before is None:
            verdict = "only counted" if before is None else "only recorded"
        else:
            verdict = "" if now <= before * (1 + tolerance) else f"{now / before - 1:+.1%}"
        good = good and not verdict
        show(f"{name:32} {_text(now):>9} recorded {_text(before):>9} {verdict}")
    if not good:
        show(f"If that is meant: {_RUN}")
    return good


def _text(count: float | None) -> str:
    return "-" if count is None else f"{count:.1f}"


def run(*, record_them: bool, show: Callable[[str], object]) -> bool:
    """Count, then compare with what is recorded or record it."""
    counts = count()
    if record_them:
        record(counts)
        return True
    recorded = Counts(**json.loads(BASELINE.read_text(encoding="utf-8")))
    return compare(counts, recorded, show)
