"""`roadstead proxy` as a process: it serves, follows its files, tells of what it refuses, and drains on a signal."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.clients.meshes import entry
from tests.clients.servers import Answer, Servers, servers
from tests.proxy.running import until

URL = "http://api.test/"


@pytest.fixture
def made() -> Iterator[Servers]:
    with servers() as all_of_them:
        yield all_of_them


class Process:
    """said: lines of standard error so far."""

    def __init__(self, *arguments: str, cwd: Path) -> None:
        with (cwd / "said").open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "roadstead.cli", "proxy", *arguments],
                cwd=cwd, stdout=subprocess.PIPE, stderr=said, text=True,
            )  # fmt: skip
        self._said = cwd / "said"

    @property
    def said(self) -> str:
        return self._said.read_text()

    async def port(self, kind: str) -> int:
        pattern = re.compile(rf"^{kind} on (?:http://)?\S+:(\d+)$", re.M)
        await until(lambda: pattern.search(self.said) or self.process.poll() is not None)
        found = pattern.search(self.said)
        assert found, self.said
        return int(found[1])


@contextmanager
def running(*arguments: str, cwd: Path) -> Iterator[Process]:
    made = Process("--resolver", "none", *arguments, cwd=cwd)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()
        assert made.process.stdout is not None
        made.process.stdout.close()


def ask(port: int, url: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": f"http://127.0.0.1:{port}"}))
    try:
        with opener.open(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def page(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return str(answer.read().decode())


async def test_it_serves_follows_and_drains(made: Servers, tmp_path: Path) -> None:
    first, second = made.http(), made.http()
    second.default = Answer(200, b"second")
    mesh = tmp_path / "mesh"
    mesh.mkdir()
    (mesh / "api.yaml").write_text(entry(first.port))
    arguments = ("-f", "mesh", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--access-log-format", "json")
    with running(*arguments, cwd=tmp_path) as proxy:
        port, admin = await proxy.port("http"), await proxy.port("admin")
        assert await asyncio.to_thread(ask, port, URL) == (200, "ok")
        assert await asyncio.to_thread(page, admin, "/ready") == "LIVE\n"

        # What is refused is told, and what was there goes on.
        (mesh / "api.yaml").write_text(entry(first.port).replace("resolution: STATIC", "resolution: NOSUCH"))
        await until(lambda: "NOSUCH" in proxy.said)
        assert await asyncio.to_thread(ask, port, URL) == (200, "ok")

        temporary = mesh / "api.tmp"
        temporary.write_text(entry(second.port))
        temporary.rename(mesh / "api.yaml")

        async def moved() -> bool:
            return await asyncio.to_thread(ask, port, URL) == (200, "second")

        async with asyncio.timeout(30):
            while not await moved():
                await asyncio.sleep(0.05)

        metrics = await asyncio.to_thread(page, admin, "/metrics")
        assert re.search(
            r'^istio_requests_total\{.*destination_service="api.test",.*response_code="200"', metrics, re.M
        )
        assert 'envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix="egress"}' in metrics

        second.default = Answer(200, b"finished", after=0.3)
        asked = asyncio.create_task(asyncio.to_thread(ask, port, URL))
        before = len(second.requests)
        await until(lambda: len(second.requests) > before)
        proxy.process.send_signal(signal.SIGTERM)
        assert await asked == (200, "finished")
        out, _ = await asyncio.to_thread(proxy.process.communicate)
        assert proxy.process.returncode == 0
        assert "draining, at most 30 seconds" in proxy.said
        assert out.count('"response_code":200') == out.count("\n")


async def test_a_log_that_is_rotated(made: Servers, tmp_path: Path) -> None:
    server = made.http()
    (tmp_path / "mesh.yaml").write_text(entry(server.port))
    arguments = ("-f", "mesh.yaml", "--listen", "127.0.0.1:0", "--admin", "none", "--access-log", "log")
    with running(*arguments, cwd=tmp_path) as proxy:
        port = await proxy.port("http")
        log = tmp_path / "log"
        assert (await asyncio.to_thread(ask, port, URL))[0] == 200
        await until(lambda: log.read_text().count("\n") == 1)
        log.rename(tmp_path / "log.1")
        proxy.process.send_signal(signal.SIGUSR1)
        await until(log.exists)
        assert (await asyncio.to_thread(ask, port, URL))[0] == 200
        await until(lambda: log.read_text().count("\n") == 1)
        proxy.process.send_signal(signal.SIGINT)
        await asyncio.to_thread(proxy.process.wait)
        assert proxy.process.returncode == 0
    assert '"GET / HTTP/1.1" 200 - 0 2 ' in log.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["-f", "nowhere"], 66, "no such file or folder"),
        (["-f", "-"], 64, "give files or folders"),
        (["-f", "mesh.yaml", "--listen", "15001"], 64, "write IP:port"),
        (["-f", "mesh.yaml", "--listen", "0.0.0.0:0"], 64, "open relay"),
        (["-f", "mesh.yaml", "--admin", "0.0.0.0:0"], 64, "is not loopback"),
        (["-f", "mesh.yaml", "--access-log", "nowhere/log"], 74, "No such file"),
        (["-f", "mesh.yaml", "--mesh", "nowhere"], 66, "no such file"),
        (["-f", "mesh.yaml", "--max-headers", "0"], 64, "max-headers"),
    ],
)
def test_what_it_does_not_start_with(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    (tmp_path / "mesh.yaml").write_text(entry(1))
    extra = [] if "--admin" in arguments else ["--admin", "none"]
    done = subprocess.run(
        [sys.executable, "-m", "roadstead.cli", "proxy", "--resolver", "none", *extra, *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"}, timeout=60,
    )  # fmt: skip
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr


def test_an_address_that_is_taken(made: Servers, tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text(entry(1))
    taken = f"127.0.0.1:{made.http().port}"
    for option in ("--listen", "--admin"):
        other = ["--admin", "none"] if option == "--listen" else []
        done = subprocess.run(
            [sys.executable, "-m", "roadstead.cli", "proxy", "-f", "mesh.yaml", option, taken, *other],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert (done.returncode, "in use" in done.stderr) == (74, True), done.stderr
