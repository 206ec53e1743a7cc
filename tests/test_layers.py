"""Who may import whom: arrows go down only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "python" / "roadstead"
GROUND = {"due", "errors", "host", "locality", "protocol", "regex_syntax", "steps"}
# Room: the rooms it may import, beside itself.
ALLOWED = {
    "due": set(),
    "errors": set(),
    "host": GROUND,
    "locality": GROUND,
    "protocol": GROUND,
    "regex_syntax": set(),
    "steps": set(),
    "_lowered": set(),
    "objects": set(),
    "embed": set(),
    "core": GROUND | {"_core", "_fallback"},
    "_core": GROUND | {"_lowered"},
    "_fallback": GROUND | {"_lowered"},
    "config": GROUND | {"core"},
    "mesh": GROUND,
    "compile": GROUND | {"config", "mesh"},
    "registry": GROUND | {"compile", "config", "mesh", "core", "_core", "_lowered"},
    "sources": GROUND | {"config"},
    "dns": GROUND | {"mesh"},
    "proxy_protocol": GROUND | {"mesh"},
    "health": GROUND | {"mesh", "proxy_protocol"},
    "live": GROUND | {"config", "dns", "health", "mesh", "registry", "sources"},
    "clients": GROUND | {"health", "mesh", "proxy_protocol", "registry", "steps"},
    "metrics": GROUND | {"mesh", "registry", "xds"},
    "proxy": GROUND | {"clients", "mesh", "metrics", "proxy_protocol", "registry"},
    "xds": GROUND | {"registry", "mesh"},
}
# Libraries that one room has to itself.
HOMES = {
    "yaml": "config/yaml.py",
    "google": "xds/",
    "grpc": ("xds/", "clients/"),
    "click": "cli/",
    "rich_click": "cli/",
    "rich": "cli/",
    "jsonpath_ng": "cli/",
    "re2": "_fallback/",
    "dns": "dns/",
    "aiodns": "dns/",
    "watchfiles": "sources/",
    "kubernetes_asyncio": "sources/",
    "prometheus_client": "metrics/",
    "httptools": "proxy/",
    "httpcore": "clients/",
    "httpcore2": "clients/",
    "httpx": "clients/",
    "httpx2": "clients/",
    "requests": "clients/",
    "urllib3": "clients/",
    "opentelemetry": ("clients/", "metrics/"),
    # A second home: the cluster's client hands its answers on.
    "aiohttp": ("clients/", "sources/kubernetes/"),
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(module, for type checkers only) of each import in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "roadstead":
                yield from ((f"roadstead.{alias.name}", id(node) in typing_only) for alias in node.names)
            else:
                yield node.module, id(node) in typing_only


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_go_down(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room in ("cli", "__init__"):
        return
    for module, typing_only in imports(path):
        parts = module.split(".")
        if parts[0] != "roadstead" or len(parts) == 1:
            continue
        other = parts[1]
        assert other != "cli"
        if other == "_core" and typing_only:
            continue
        assert other == room or other in ALLOWED[room], f"{room} may not import {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_stay_in_their_room(path: Path) -> None:
    here = path.relative_to(PACKAGE).as_posix()
    for module, _ in imports(path):
        home = HOMES.get(module.split(".")[0])
        assert home is None or here.startswith(home), f"{module} belongs to {home}"


def test_only_lowering_meets_both_mesh_and_columns() -> None:
    both = []
    for path in FILES:
        modules = {module for module, _ in imports(path)}
        if any(m.startswith("roadstead.mesh") for m in modules) and "roadstead._lowered" in modules:
            both.append(path.relative_to(PACKAGE).as_posix())
    assert both == ["registry/lower.py"]


def test_the_door_to_the_engine_is_narrow() -> None:
    assert len((PACKAGE / "core.py").read_text(encoding="utf-8").splitlines()) <= 40
    for path in FILES:
        here = path.relative_to(PACKAGE).parts[0]
        for module, typing_only in imports(path):
            if module.startswith(("roadstead._core", "roadstead._fallback")) and not typing_only:
                assert here in ("core.py", "_fallback"), f"{path}: {module}"


@pytest.mark.parametrize("suffix", ["py", "pyi", "rs"])
def test_files_stay_readable(suffix: str) -> None:
    root = PACKAGE.parent.parent
    if suffix == "rs" and not (root / "native").is_dir():
        pytest.fail("native/ is not here")
    long = [
        f"{path.relative_to(root)}: {count}"
        for folder in ("python", "native", "tests", "benchmarks")
        for path in sorted((root / folder).rglob(f"*.{suffix}"))
        if "target" not in path.parts and (count := len(path.read_text(encoding="utf-8").splitlines())) > 600
    ]
    assert long == []


def test_no_rooms_for_odds_and_ends() -> None:
    forbidden = {"utils", "util", "common", "helpers", "misc"}
    root = PACKAGE.parent.parent
    named = [
        str(path.relative_to(root))
        for folder in ("python", "native", "tests", "benchmarks")
        for path in (root / folder).rglob("*")
        if path.stem in forbidden and "target" not in path.parts
    ]
    assert named == []
