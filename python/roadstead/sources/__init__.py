"""Where configuration comes from while a program runs: `files.Files`, `url.Url`, `kubernetes.Kubernetes`, layered."""

from __future__ import annotations

from roadstead.sources.layers import Layer, Layers, Sink, Source, SourceStatus

__all__ = ["Layer", "Layers", "Sink", "Source", "SourceStatus"]
