"""What all messages are made of: the base class, scalar types, and messages that several kinds share.

The rules of the model: attribute names are Istio's in snake_case; a missing message is None, a missing list (), a
missing map {}, a missing scalar its protobuf zero, a missing member of a oneof None; enums are Istio's words; durations
stay as written (`roadstead.config.duration.seconds` reads them).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
UInt32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
UInt64 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""Stops at 2^63 - 1 because the decoder's bounds do."""

# Protobuf's wrappers: the only fields that may be written as null.
BoolValue = Annotated[bool | None, Meta(extra={"nullable": True})]
Int32Value = Annotated[Int32 | None, Meta(extra={"nullable": True})]
Int64Value = Annotated[int | None, Meta(extra={"nullable": True})]
UInt32Value = Annotated[UInt32 | None, Meta(extra={"nullable": True})]
UInt64Value = Annotated[UInt64 | None, Meta(extra={"nullable": True})]
DoubleValue = Annotated[float | None, Meta(extra={"nullable": True})]

Duration = Annotated[str, Meta(extra={"duration": "whole milliseconds"})]
"""A duration in Go's syntax ("1.5s", "1h30m"): at least 1ms and whole milliseconds, as Istio demands of nearly all."""
FreeDuration = Annotated[str, Meta(extra={"duration": "any"})]
"""A duration in Go's syntax of any size."""


class Message(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True, gc=False
):
    """Base of everything the user writes. Immutable trees, hence nothing for the garbage collector to look at."""


class WorkloadSelector(Message, frozen=True, kw_only=True):
    """Labels a workload must carry, all of them; none: every workload of the namespace (networking.istio.io)."""

    labels: dict[str, str] = {}


class LabelsSelector(Message, frozen=True, kw_only=True):
    """The same in the words of type.istio.io (DestinationRule, PeerAuthentication)."""

    match_labels: dict[str, str] = {}


class PortSelector(Message, frozen=True, kw_only=True):
    """A port by number; 0: left out."""

    number: UInt32 = 0


class Percent(Message, frozen=True, kw_only=True):
    """0.0 to 100.0."""

    value: float = 0.0


class StringMatch(Message, frozen=True, kw_only=True):
    """One of exact, prefix, regex (RE2, whole text); none: present, or anything, by context."""

    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None
