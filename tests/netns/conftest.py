"""A network of their own for these tests: a namespace whose only link is loopback, where packets can be dropped and
redirected. It needs Linux with `ip` and `iptables` (Debian: packages iproute2 and iptables), and either root or user
namespaces, so this room is no part of a plain `pytest`."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_NEW_NETWORK, _NEW_USER = 0x40000000, 0x10000000


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"


@pytest.fixture(scope="session", autouse=True)
def namespace() -> None:
    """This process leaves the system's network for good."""
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NETWORK if user == 0 else _NEW_NETWORK | _NEW_USER):
        pytest.fail(f"no network namespace: {os.strerror(ctypes.get_errno())}; run these tests as root")
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    run("ip", "link", "set", "lo", "up")
    # Whatever is dialled leaves by loopback, so that it can be redirected; with an address that may leave a machine.
    for family, address in (("-4", "192.0.2.1/32"), ("-6", "2001:db8::1/128")):
        run("ip", family, "address", "add", address, "dev", "lo")
        run("ip", family, "route", "add", "default", "dev", "lo")


Rule = Callable[..., None]


@pytest.fixture
def rule() -> Iterator[Rule]:
    """Adds rules of iptables (or ip6tables), and takes them away in the end."""
    added: list[tuple[str, ...]] = []

    def add(*words: str, command: str = "iptables", table: str = "filter") -> None:
        run(command, "-t", table, "-A", *words)
        added.append((command, "-t", table, "-D", *words))

    yield add
    for words in reversed(added):
        run(*words)
