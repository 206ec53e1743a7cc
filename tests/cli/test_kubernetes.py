"""The command on a cluster's objects, beside files and instead of them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from tests.sources.collecting import entry
from tests.sources.kubernetes.cluster import Small, kubeconfig, small
from tests.sources.kubernetes.server import status

BAD = entry("b").replace("number: 80", "number: 80000")


async def run(*words: str) -> tuple[int | None, str, str]:
    """Exit code, output, errors."""
    kept = {name: value for name, value in os.environ.items() if name not in ("ROADSTEAD_CONFIG", "KUBECONFIG")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "roadstead.cli", *words, env=kept,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


def config(little: Small, folder: Path) -> str:
    return str(kubeconfig(folder / "kubeconfig", f"http://127.0.0.1:{little.server.port}"))


async def test_what_a_cluster_has(tmp_path: Path) -> None:
    async with small() as little:
        await little.put(entry("a") + BAD)
        where = ("--kubernetes", "--kubeconfig", config(little, tmp_path))
        code, out, _ = await run("get", *where, "se", "-o", "name")
        assert (code, out) == (0, "serviceentry.networking.istio.io/a\n")
        code, out, _ = await run("validate", *where, "-o", "json")
        [finding] = json.loads(out)
        assert (code, finding["file"], finding["severity"]) == (79, "kubernetes:serviceentry/default/b", "error")
        code, out, _ = await run("route", *where, "http://a.test/")
        assert code == 0
        assert "kubernetes:serviceentry/default/a  ServiceEntry/default/a" in out


async def test_files_count_above_the_cluster(tmp_path: Path) -> None:
    async with small() as little:
        await little.put(entry("a") + entry("b"))
        (tmp_path / "change.yaml").write_text(entry("a", "changed"))
        options = ("-f", str(tmp_path / "change.yaml"), "--context", "it", "--kubeconfig", config(little, tmp_path))
        code, out, _ = await run("get", *options, "se", "-o", "jsonpath={.items[*].spec.hosts[0]}")
        assert (code, out) == (0, "changed.test b.test\n")
        assert await run("get", *options, "--kube-namespace", "other", "se", "b") == (
            66,
            "",
            "serviceentry 'b' not found\nNo resources found.\n",
        )


async def test_a_cluster_that_cannot_be_read(tmp_path: Path) -> None:
    async with small() as little:
        little.server.answer = lambda _: status(403, "Forbidden", "not you")
        code, _, err = await run("get", "--kubeconfig", config(little, tmp_path), "se")
    assert code == 69
    assert "kubernetes: HTTP 403 not you" in err


@pytest.mark.parametrize("option", ["--kubeconfig", "--context"])
async def test_which_cluster_implies_one(option: str, tmp_path: Path) -> None:
    code, _, err = await run("validate", option, str(tmp_path / "nowhere"))
    assert code == 69
    assert err.startswith("Error: kubernetes")
