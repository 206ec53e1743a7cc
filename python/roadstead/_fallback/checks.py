"""What a column may hold: codes that are words of `_lowered`, numbers in the range of their field."""

from __future__ import annotations

from roadstead import _lowered as low
from roadstead.errors import EngineError

_U16, _U32 = 0xFFFF, 0xFFFFFFFF
# Envoy: priorities are at most 128.
_PRIORITIES = 128
# What times of policies may be.
_SECONDS = 1e9
# A protobuf Duration's most.
_DURATION = 315_576_000_000

# Field: least and most. What is not here is text, or free.
_RANGES: dict[type, dict[str, tuple[float, float]]] = {
    low.ValueMatch: {"kind": (0, low.SUFFIX)},
    low.Piece: {"kind": (0, low.CLUSTER), "limit": (0, _U32)},
    low.HeaderOp: {"kind": (0, low.ADD_IF_ABSENT)},
    low.Destination: {"weight": (0, _U32)},
    low.Redirect: {"port": (0, _U16), "code": (0, _U16)},
    low.Mirror: {"numerator": (0, _U32)},
    low.HashPolicy: {"kind": (0, low.HASH_QUERY)},
    low.Fault: {
        "delay": (0, _DURATION),
        "delay_numerator": (0, _U32),
        "abort_numerator": (0, _U32),
        "abort_status": (0, _U16),
    },
    low.Route: {
        "action": (0, low.DIRECT_RESPONSE),
        "direct_status": (0, _U16),
        "retry_host_attempts": (0, _U16),
        "timeout": (0, _DURATION),
    },
    low.Retry: {
        "attempts": (0, _U32),
        "per_try_timeout": (0, _DURATION),
        "base_interval": (0, _DURATION),
        "previous_priorities": (0, _U32),
    },
    low.VirtualHost: {"port": (0, _U16)},
    low.Port: {"number": (0, _U16), "protocol": (0, low.PROTO_UDP)},
    low.Endpoint: {"port": (0, _U16), "kind": (0, low.UNIX), "weight": (1, _U32), "health": (0, low.DEGRADED)},
    low.LocalityGroup: {"priority": (0, _PRIORITIES), "weight": (0, _U32)},
    low.LbConfig: {
        "policy": (0, low.CLUSTER_PROVIDED),
        "panic_threshold": (0, _U32),
        "overprovisioning": (0, _U32),
        "choice_count": (1, _U32),
    },
    low.Limits: {
        "max_connections": (0, _U32),
        "max_pending_requests": (0, _U32),
        "max_requests": (0, _U32),
        "max_retries": (0, _U32),
        "retry_budget_interval": (0, _SECONDS),
    },
    low.OutlierDetection: {
        "consecutive_5xx": (0, _U32),
        "enforcing_consecutive_5xx": (0, 100),
        "consecutive_gateway_failure": (0, _U32),
        "enforcing_consecutive_gateway_failure": (0, 100),
        "consecutive_local_origin_failure": (0, _U32),
        "enforcing_consecutive_local_origin_failure": (0, 100),
        "interval": (0.001, _SECONDS),
        "base_ejection_time": (0.001, _SECONDS),
        "max_ejection_time": (0.001, _SECONDS),
        "max_ejection_time_jitter": (0, _SECONDS),
        "max_ejection_percent": (0, _U32),
    },
    low.Cluster: {"type": (0, low.DYNAMIC_DNS), "port_override": (0, _U16)},
    low.Chain: {"port": (0, _U16), "transport": (0, 2)},
}


def check(value: tuple[object, ...]) -> None:
    """EngineError for a number out of range in the value or anything in it."""
    ranges = _RANGES.get(type(value))
    if ranges is not None:
        for name, (least, most) in ranges.items():
            number = getattr(value, name)
            # Optional numbers are None.
            if number is not None and not least <= number <= most:
                raise EngineError(f"{type(value).__name__}.{name}: {number} is not from {least} to {most}")
    for item in value:
        if isinstance(item, tuple):
            check(item)
