"""Localities: `region/zone/subzone`.

| text | region | zone | subzone |
|---|---|---|---|
| "" | | | |
| us | us | | |
| us/a | us | a | |
| us/a/1 | us | a | 1 |
| us/a/1/x | us | a | 1 (the rest is ignored) |

An endpoint's locality is its field; else the label `topology.istio.io/locality`; else the label `istio-locality`, where
dots stand for slashes if there is no slash (a label value cannot hold one).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import msgspec

LOCALITY_LABELS = ("topology.istio.io/locality", "istio-locality")


class Locality(msgspec.Struct, frozen=True, gc=False):
    """Parts are "" where unknown."""

    region: str = ""
    zone: str = ""
    subzone: str = ""

    def __str__(self) -> str:
        return f"{self.region}/{self.zone}/{self.subzone}".rstrip("/")


@lru_cache(maxsize=4096)
def parse(text: str) -> Locality:
    """`region/zone/subzone` → its parts."""
    return Locality(*text.split("/", 3)[:3])


def of_endpoint(locality: str, labels: Mapping[str, str]) -> str:
    """The locality text of an endpoint with that field and these labels; "" where unknown."""
    if locality:
        return locality
    for name in LOCALITY_LABELS:
        value = labels.get(name)
        if value:
            return value if "/" in value else value.replace(".", "/")
    return ""


__all__ = ["LOCALITY_LABELS", "Locality", "of_endpoint", "parse"]
