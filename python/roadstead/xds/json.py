"""Messages → protobuf's JSON with the proto's own field names, as `messages` describes them.

Enums are words, durations "1.500s", 64-bit numbers text, bytes base64, an Any its message with "@type"; what has its
default value is left out, unless its presence means something (wrappers, messages, members of a oneof).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, cast

from roadstead.xds.messages import MESSAGES
from roadstead.xds.schema import EnumType, Field, Json, Message, MessageType, Scalar, Value

_TYPE_URL = "type.googleapis.com/"
_Write: TypeAlias = Callable[[Value], Json]
# No value of any field.
_NOTHING = "\0"

_plans: dict[MessageType, dict[str, tuple[_Write | None, str]]] = {}


def to_json(message: Message) -> dict[str, Json]:
    """A message ready for a JSON writer. Parts that are shared between messages are one object: do not change it.

    KeyError for a field that the message's description does not have."""
    if message.written is not None:
        return message.written
    plan = _plans.get(message.type)
    if plan is None:
        plan = _plans[message.type] = {field.name: _writer(field) for field in message.type.fields}
    made: dict[str, Json] = {}
    for name, value in message.values.items():
        write, default = plan[name]
        if value is None or (default and (not value or value == default)):
            continue
        made[name] = cast("Json", value) if write is None else write(value)
    if message.is_shared:
        message.written = made
    return made


def _any(value: Value) -> Json:
    assert isinstance(value, Message)
    return {"@type": _TYPE_URL + value.type.name, **to_json(value)}


def _message(value: Value) -> Json:
    assert isinstance(value, Message)
    return value.written if value.written is not None else to_json(value)


def _duration(value: Value) -> Json:
    """Seconds with as few of three, six or nine digits as hold them."""
    assert isinstance(value, float | int)
    whole, nanos = divmod(round(value * 1_000_000_000), 1_000_000_000)
    if not nanos:
        return f"{whole}s"
    digits = f"{nanos:09d}"
    for length in (3, 6):
        if not digits[length:].strip("0"):
            return f"{whole}.{digits[:length]}s"
    return f"{whole}.{digits}s"


def _double(value: Value) -> Json:
    """A whole number has no decimal point."""
    assert isinstance(value, float | int)
    return int(value) if value == int(value) else value


def _bytes(value: Value) -> Json:
    assert isinstance(value, bytes)
    return base64.b64encode(value).decode()


def _text(value: Value) -> Json:
    return str(value)


_SCALARS: dict[Scalar, tuple[_Write | None, str]] = {
    Scalar.STRING: (None, _NOTHING),
    Scalar.BYTES: (_bytes, _NOTHING),
    Scalar.BOOL: (None, _NOTHING),
    Scalar.INT32: (None, _NOTHING),
    Scalar.INT64: (_text, _NOTHING),
    Scalar.UINT32: (None, _NOTHING),
    Scalar.UINT64: (_text, _NOTHING),
    Scalar.DOUBLE: (_double, _NOTHING),
    Scalar.DURATION: (_duration, ""),
    Scalar.ANY: (_any, ""),
    Scalar.STRUCT: (None, ""),
    Scalar.BOOL_VALUE: (None, ""),
    Scalar.UINT32_VALUE: (None, ""),
    Scalar.UINT64_VALUE: (_text, ""),
}


def _writer(field: Field) -> tuple[_Write | None, str]:
    """How a field's value is written (None: as it is), and what is left out besides empty values ("": only None)."""
    kind = MESSAGES[field.type] if isinstance(field.type, str) else field.type
    write: _Write | None
    if isinstance(kind, MessageType):
        write, default = _message, ""
    elif isinstance(kind, EnumType):
        write, default = None, next((word for word, number in kind.values.items() if number == 0), "")
    else:
        write, default = _SCALARS[kind]
    if field.many:
        return _many(write), _NOTHING
    if field.keyed:
        return _keyed(write), _NOTHING
    return write, "" if field.oneof else default


def _many(write: _Write | None) -> _Write:
    def written(value: Value) -> Json:
        assert isinstance(value, Sequence)
        return cast("Json", list(value)) if write is None else [write(item) for item in value]

    return written


def _keyed(write: _Write | None) -> _Write:
    def written(value: Value) -> Json:
        assert isinstance(value, Mapping)
        return cast("Json", dict(value)) if write is None else {key: write(item) for key, item in value.items()}

    return written
