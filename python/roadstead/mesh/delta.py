"""What an update changed."""

from __future__ import annotations

import msgspec


class Delta(msgspec.Struct, frozen=True):
    """hosts: keys of the hosts made anew or removed; clusters: names of clusters that are new, different or gone;
    diagnostics: what decoding and compiling the change found (config Finding objects)."""

    hosts: tuple[str, ...]
    clusters: tuple[str, ...]
    diagnostics: tuple[object, ...] = ()
