"""Objects of a Kubernetes cluster, listed and then watched."""

from __future__ import annotations

from roadstead.sources.kubernetes.follower import Pace
from roadstead.sources.kubernetes.source import Kubernetes

__all__ = ["Kubernetes", "Pace"]
