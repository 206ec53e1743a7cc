"""From YAML to answers: a file read until every host has been routed once, beside PyYAML's C loader alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

import yaml

from benchmarks import meshes, workload
from benchmarks.case import Case, measure
from roadstead import Registry

PYYAML = "PyYAML C loader"


def cases(size: int) -> list[Case]:
    """One operation is the whole file. The text is made once; reading it from disk is part of the load."""
    text = workload.text(size)
    asked = [workload.asked(number) for number in range(size)]

    found = [Case(PYYAML, pyyaml(text))]
    for engine in meshes.ENGINES:
        owed = ((PYYAML, 0.35),) if engine == "native" else ()
        found.append(Case(f"load and route all, {engine}", _load(engine, text, asked), owed=owed))
    return found


def pyyaml(text: str) -> Callable[[None], None]:
    """PyYAML's C loader alone over a text: what every load is held against."""

    def run(_: None) -> None:
        for _document in yaml.load_all(text, Loader=yaml.CSafeLoader):
            pass

    return run


def _load(engine: Literal["native", "fallback"], text: str, asked: list[str]) -> Callable[[None], None]:
    def run(_: None) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "mesh.yaml"
            path.write_text(text, encoding="utf-8")
            registry = Registry.from_files(path, backend=engine, node=meshes.NODE)
        for host in asked:
            assert registry.route(host, 80).kind != "not_found"

    return run


class Memory(NamedTuple):
    """Megabytes over the bare interpreter with the package imported: resident after loading and routing, and at the peak."""

    resident: float
    peak: float


_PROGRAM = """
import json, resource, sys
from roadstead import Node, Registry
import roadstead.config.forms, roadstead.config.validate, roadstead.registry.engine, roadstead.registry.endpoints
from pathlib import Path
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
from roadstead.core import engine
engine(sys.argv[2])
bare = resident()
registry = Registry.from_files(sys.argv[1], backend=sys.argv[2], node=Node(locality="us-west/us-west-a"))
from benchmarks import workload
for number in range(int(sys.argv[3])):
    registry.route(workload.asked(number), 80)
import gc
gc.collect()
# Not ru_maxrss: that begins with the size of the process that started this one.
status = Path("/proc/self/status").read_text()
peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024
print(json.dumps([(resident() - bare) / 1e6, (peak - bare) / 1e6]))
"""


def memory(engine: Literal["native", "fallback"], size: int) -> Memory:
    """Measured in a process of its own."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mesh.yaml"
        path.write_text(workload.text(size), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(path), engine, str(size)],
            check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
    resident, peak = json.loads(done.stdout)
    return Memory(resident, peak)


def imports() -> dict[str, float]:
    """Seconds over the bare interpreter, median of several. A registry loads what reading and compiling need; beside it what the
    package requires from elsewhere."""
    statements = (
        "pass",
        "import msgspec, yaml",
        "import roadstead",
        "from roadstead import Registry",
        "from roadstead import Registry; Registry()",
    )
    timings = measure([Case(statement, _python(statement)) for statement in statements], 11)
    bare = timings["pass"].median
    return {name: timing.median - bare for name, timing in timings.items() if name != "pass"}


def _python(statement: str) -> Callable[[None], None]:
    def run(_: None) -> None:
        subprocess.run([sys.executable, "-c", statement], check=True)

    return run
