"""A node's published configuration as bytes, for programs without Python (native/capi reads them).

One JSON object: "format", the version of what follows; "outbound" to "dynamic", the arguments of
`Builder.set_outbound`; "units", the columns of `_lowered` by position: tuples are arrays, bytes are Latin-1 text,
handles are null, a policy is null or what `lower.facts` says of it. One line for each unit, so that two snapshots can
be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec

from roadstead._lowered import ClusterPolicy, RoutePolicy

if TYPE_CHECKING:
    from roadstead._lowered import Unit

FORMAT = 1
"""ROADSTEAD_SNAPSHOT_FORMAT of the C header."""

Facts = Callable[[object], dict[str, object] | None]


def snapshot_bytes(
    units: Iterable[Unit],
    facts: Facts,
    *,
    outbound: int,
    egress_cluster: str = "",
    paths: int = 1,
    passthrough: object | None = None,
    dynamic: object | None = None,
) -> bytes:
    """The bytes of a snapshot. facts: what is kept of a policy. The rest: as for `Builder.set_outbound`."""
    encode = msgspec.json.Encoder().encode
    head: dict[str, object] = {"format": FORMAT, "outbound": outbound, "egress_cluster": egress_cluster, "paths": paths}
    head |= {"passthrough": facts(passthrough), "dynamic": facts(dynamic)}
    lines = b",\n".join([encode(_plain(unit, facts)) for unit in units])
    return encode(head)[:-1] + b',"units":[\n' + lines + b"\n]}\n"


def _plain(value: object, facts: Facts) -> object:
    # The order of the cases is that of how often they occur.
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, RoutePolicy | ClusterPolicy):
        return facts(value)
    if isinstance(value, tuple):
        return [_plain(item, facts) for item in value]
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, dict) else None
