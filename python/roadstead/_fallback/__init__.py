"""The engine in plain Python: complete, the readable specification of the native one. The contract is `_core.pyi`."""

from __future__ import annotations

from typing import Literal

from roadstead._fallback.builder import Builder
from roadstead._fallback.cluster import Cluster, Endpoint
from roadstead._fallback.columns import HostColumn
from roadstead._fallback.decision import Decision
from roadstead._fallback.engine import Engine
from roadstead._fallback.exchange import Exchange
from roadstead._fallback.lease import ConnectionLease, RequestLease
from roadstead._fallback.service import Service
from roadstead._fallback.tally import Tally
from roadstead._fallback.template import Template

NAME: Literal["native", "fallback"] = "fallback"

__all__ = [
    "NAME",
    "Builder",
    "Cluster",
    "ConnectionLease",
    "Decision",
    "Endpoint",
    "Engine",
    "Exchange",
    "HostColumn",
    "RequestLease",
    "Service",
    "Tally",
    "Template",
]
