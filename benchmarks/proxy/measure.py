"""How many requests a second does a proxy carry, at what cost in processor time and memory, beside other proxies?"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.proxy.peers import PEERS, Peer

_CONNECTIONS = 32
# Seconds of a round; a shorter one before it is not counted.
_SECONDS, _WARM = 4.0, 1.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Round(NamedTuple):
    """rate: requests a second. processor: microseconds of the proxy's processes for a request. median, p99:
    milliseconds."""

    rate: float
    processor: float
    median: float
    p99: float
    wrong: int


class Measured(NamedTuple):
    """rounds: none where the proxy is not installed. resident: MB of its processes after the load."""

    peer: Peer
    rounds: list[Round]
    resident: float


def measure(rounds: int) -> list[Measured]:
    """All proxies, in turn in each round, each started anew."""
    found: dict[str, list[Round]] = {peer.name: [] for peer in PEERS}
    resident = dict.fromkeys(found, 0.0)
    with _upstream() as upstream:
        for _ in range(rounds):
            for peer in PEERS:
                with tempfile.TemporaryDirectory() as folder:
                    port = _free()
                    command = peer.command(upstream, port, Path(folder))
                    if command is None:
                        continue
                    with _started(command, port, Path(folder)) as process:
                        one, held = _round(process, port, upstream)
                        found[peer.name].append(one)
                        resident[peer.name] = max(resident[peer.name], held)
    return [Measured(peer, found[peer.name], resident[peer.name]) for peer in PEERS]


def about() -> Iterator[str]:
    """What was done."""
    yield f"A kilobyte for each GET with seven headers, {_CONNECTIONS} connections that live on, loopback; client, upstream and proxy"
    yield "are processes of their own, which share the machine: so the processor time of a request is the figure to go by (with Envoy"
    yield "the client is what limits the rate). roadstead and Envoy add a header under a rule with retries and time limits; mitmproxy and"
    yield "proxy.py pass on what they are asked. No logs, but where it is said. `python -m benchmarks proxy`."


def table(measured: list[Measured]) -> Iterator[str]:
    """Lines of Markdown; ratios are medians of those within a round."""
    yield "| proxy | requests/s | × roadstead | processor time of a request | × | median | p99 | resident |"
    yield "|---|---|---|---|---|---|---|---|"
    ours = measured[0].rounds
    for one in measured:
        if not one.rounds:
            yield f"| {one.peer.name} | not installed | | | | | | |"
            continue
        rate = statistics.median(each.rate for each in one.rounds)
        processor = statistics.median(each.processor for each in one.rounds)
        rates = statistics.median(a.rate / b.rate for a, b in zip(one.rounds, ours, strict=True))
        costs = statistics.median(a.processor / b.processor for a, b in zip(one.rounds, ours, strict=True))
        median = statistics.median(each.median for each in one.rounds)
        p99 = statistics.median(each.p99 for each in one.rounds)
        wrong = sum(each.wrong for each in one.rounds)
        name = one.peer.name + (f" ({wrong} failed)" if wrong else "")
        yield (
            f"| {name} | {rate:,.0f} | {rates:.2f} | {processor:,.0f} µs | {costs:.2f} | {median:.1f} ms | {p99:.1f} ms"
            f" | {one.resident:.0f} MB |"
        )


def _round(process: subprocess.Popen[bytes], port: int, upstream: int) -> tuple[Round, float]:
    _ask(port, upstream, _WARM)
    before = _processor(process.pid)
    told = _ask(port, upstream, _SECONDS)
    spent = _processor(process.pid) - before
    done = max(1, int(told["requests"]))
    made = Round(done / told["seconds"], spent / done * 1e6, told["median"], told["p99"], int(told["wrong"]))
    return made, sum(_resident(pid) for pid in _family(process.pid)) / 1e6


def _ask(port: int, upstream: int, seconds: float) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.proxy.traffic", "ask"]
    arguments = [str(port), str(upstream), str(_CONNECTIONS), str(seconds)]
    out = subprocess.run([*command, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(out)
    return found


@contextmanager
def _upstream() -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks.proxy.traffic", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def _started(command: list[str], port: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "said").open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        try:
            until = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > until:
                        raise RuntimeError((folder / "said").read_text(encoding="utf-8", errors="replace")) from None
                    time.sleep(0.1)
            yield process
        finally:
            if process.poll() is None:
                for pid in reversed(_family(process.pid)):
                    os.kill(pid, 9)


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _family(pid: int) -> list[int]:
    """The process and its children."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            found += _family(int(child))
    return found


def _processor(pid: int) -> float:
    """Seconds, of the whole family."""
    total = 0.0
    for one in _family(pid):
        fields = Path(f"/proc/{one}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
