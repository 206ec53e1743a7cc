"""Meshes that cases share; each is made once in a run."""

from __future__ import annotations

import os
from functools import cache
from typing import Literal

from benchmarks import workload
from roadstead import Node, Registry

ENGINES: tuple[Literal["native", "fallback"], ...] = ("native", "fallback")
NODE = Node(locality="us-west/us-west-a")
# Sizes of meshes in hosts.
SIZES = tuple(int(size) for size in os.environ.get("ROADSTEAD_BENCH_SIZES", "1000,10000,100000").split(","))


@cache
def registry(engine: Literal["native", "fallback"], size: int) -> Registry:
    """The workload's mesh of that many services."""
    return Registry.from_text(workload.text(size), backend=engine, node=NODE, seed=1)


def text_registry(engine: Literal["native", "fallback"], text: str) -> Registry:
    """A mesh of its own."""
    return Registry.from_text(text, backend=engine, node=NODE, seed=1)
