"""How a protobuf message is described, and a message with its values. The descriptions themselves are in `messages`;
how values are written follows from them alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TypeAlias

import msgspec

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"
"""What a message becomes: ready for any JSON writer, not to be changed."""
Value: TypeAlias = "str | bytes | int | float | bool | Message | Sequence[Value] | Mapping[str, Value] | None"
"""A field's value: enums by name, durations in seconds, wrapped values bare, Struct as a mapping. None: not set."""


class Scalar(Enum):
    """Types that are no message of ours. Those from DURATION on are Google's well-known messages."""

    STRING = "string"
    BYTES = "bytes"
    BOOL = "bool"
    INT32 = "int32"
    INT64 = "int64"
    UINT32 = "uint32"
    UINT64 = "uint64"
    DOUBLE = "double"
    DURATION = "google.protobuf.Duration"
    ANY = "google.protobuf.Any"
    STRUCT = "google.protobuf.Struct"
    BOOL_VALUE = "google.protobuf.BoolValue"
    UINT32_VALUE = "google.protobuf.UInt32Value"
    UINT64_VALUE = "google.protobuf.UInt64Value"


class EnumType(msgspec.Struct, frozen=True):
    """name: full name. values: number by word; the word of 0 is the default."""

    name: str
    values: dict[str, int]


class Field(msgspec.Struct, frozen=True):
    """One field. type: a message may also stand as its full name where it contains itself. many: repeated. keyed: a
    map from text to the type. oneof: of its fields one may be set, and is then written even if it is the default."""

    name: str
    number: int
    type: Scalar | EnumType | MessageType | str
    many: bool = False
    keyed: bool = False
    oneof: str = ""


class MessageType(msgspec.Struct, frozen=True, eq=False):
    """A message and those of its fields that are used. name: full name. Called with values by field name it makes a
    message."""

    name: str
    fields: tuple[Field, ...] = ()

    def __call__(self, **values: Value) -> Message:
        return Message(self, values)

    def shared(self, **values: Value) -> Message:
        """A message that is written again and again, in others or at each change: whoever writes it does so once."""
        return Message(self, values, True)


class Message(msgspec.Struct, eq=False, gc=False):
    """A message with values; not to be changed once made. written: its JSON, where it is `is_shared` and known."""

    type: MessageType
    values: dict[str, Value]
    is_shared: bool = False
    written: dict[str, Json] | None = None


def one(name: str, number: int, kind: Scalar | EnumType | MessageType | str, oneof: str = "") -> Field:
    """A single value."""
    return Field(name, number, kind, oneof=oneof)


def many(name: str, number: int, kind: Scalar | EnumType | MessageType | str) -> Field:
    """A list of values."""
    return Field(name, number, kind, many=True)


def keyed(name: str, number: int, kind: Scalar | EnumType | MessageType | str) -> Field:
    """Values by text."""
    return Field(name, number, kind, keyed=True)
