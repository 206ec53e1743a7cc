"""The programs of embed.md do what they say. The one in Rust is a test of the crate (cargo test --doc)."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from tests.embed.conftest import Build, module, run

from roadstead import Registry

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "python" / "docs" / "embed.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.M | re.S)
    return str(found)


@pytest.fixture
def registry() -> Registry:
    return Registry.from_files(ROOT / "python" / "examples" / "guide", backend="native")


def test_c(program: Build, registry: Registry, tmp_path: Path) -> None:
    source = tmp_path / "example.c"
    source.write_text(block("c"))
    decision = registry.route("httpbin.org", 80, "/get")
    assert decision.cluster is not None
    known = {f"{endpoint.address}:{endpoint.port}" for endpoint in decision.cluster.endpoints}
    assert run(*program(source, sanitized=True), stdin=registry.snapshot_bytes()).decode().strip() in known


def test_cython(registry: Registry, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text(block("cython"))
    example = module("example", source, tmp_path)
    assert example.cluster_of(registry, b"httpbin.org", 80) == "outbound|80||httpbin.org"
    with pytest.raises(TypeError):
        example.cluster_of(registry.diagnostics, b"httpbin.org", 80)


def test_the_command_writes_what_the_registry_gives(registry: Registry, tmp_path: Path) -> None:
    made = tmp_path / "mesh.snapshot"
    guide = ROOT / "python" / "examples" / "guide"
    run(sys.executable, "-m", "roadstead.cli", "snapshot", "-f", guide, "-o", made)
    assert made.read_bytes() == registry.snapshot_bytes()
    assert run(sys.executable, "-m", "roadstead.cli", "snapshot", "-f", guide, "-o", "-") == made.read_bytes()
