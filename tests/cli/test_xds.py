"""`roadstead xds dump` as people run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.test_cli import GUIDE, run


@pytest.fixture
def clients(tmp_path: Path) -> list[str]:
    nodes = {"proxy": {"type": "sidecar"}, "proxy-web": {"type": "sidecar", "namespace": "web"}, "other": {}}
    for name, node in nodes.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(node))
    return [word for name in nodes for word in ("--node", str(tmp_path / f"{name}.json"))]


def test_each_client_gets_files_of_its_own(tmp_path: Path, clients: list[str], engine_name: str) -> None:
    out = tmp_path / "deep" / "out"
    done = run("xds", "dump", "-f", str(GUIDE), "--engine", engine_name, *clients, "-o", str(out))
    assert done.returncode == 0, done.stderr
    kinds = ("clusters", "endpoints", "listeners", "routes", "services")
    assert {path.name for path in out.iterdir()} == {
        f"{kind}{suffix}.json" for kind in kinds for suffix in ("", "-web", "-other")
    }
    clusters = {cluster["name"] for cluster in json.loads((out / "clusters.json").read_text())}
    assert {"BlackHoleCluster", "PassthroughCluster", "outbound|80||httpbin.org"} <= clusters
    listeners = {listener["name"] for listener in json.loads((out / "listeners.json").read_text())}
    assert {"virtualOutbound", "0.0.0.0_80"} <= listeners
    services = {service["hostname"] for service in json.loads((out / "services.json").read_text())}
    assert "httpbin.org" in services


def test_without_a_node_it_is_a_sidecars(tmp_path: Path) -> None:
    done = run("xds", "dump", "-f", str(GUIDE), "-o", str(tmp_path))
    assert done.returncode == 0
    assert (tmp_path / "routes.json").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--node", "missing/proxy.json"), 66, "missing/proxy.json"),
        (("--node", "a/proxy.json", "--node", "b/proxy.json"), 66, "proxy.json"),
    ],
)
def test_nodes_that_cannot_be_read(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    done = run("xds", "dump", "-f", str(GUIDE), "-o", str(tmp_path), *words)
    assert (done.returncode, said in done.stderr) == (code, True)


def test_two_nodes_of_one_name_are_refused(tmp_path: Path) -> None:
    words = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "proxy.json").write_text("{}")
        words += ["--node", str(tmp_path / folder / "proxy.json")]
    done = run("xds", "dump", "-f", str(GUIDE), "-o", str(tmp_path / "out"), *words)
    assert done.returncode == 64
    assert not (tmp_path / "out").exists()


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("xds", "dump", "-f", str(GUIDE), "-o", str(tmp_path / "file" / "out"))
    assert done.returncode == 74
