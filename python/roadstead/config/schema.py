"""The model's types as data, for what walks documents field by field: reporting errors, checking values."""

from __future__ import annotations

import types
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec


class Shape(msgspec.Struct, frozen=True):
    """What a value must be. nullable: null may be written for "left out"."""

    nullable: bool = False


class Text(Shape, frozen=True):
    """A string. duration: "" or which durations ("whole milliseconds", "any")."""

    duration: str = ""


class Boolean(Shape, frozen=True):
    pass


class Integer(Shape, frozen=True):
    """A whole number in low..high, both allowed."""

    low: int = -(2**63)
    high: int = 2**63 - 1


class Number(Shape, frozen=True):
    pass


class Words(Shape, frozen=True):
    """One of Istio's words; numbers: the number of each in protobuf."""

    words: tuple[str, ...] = ()
    numbers: dict[int, str] = {}


class Items(Shape, frozen=True, kw_only=True):
    item: Shape


class Entries(Shape, frozen=True, kw_only=True):
    """A map; keys are text, or whole numbers as text."""

    value: Shape
    integer_keys: bool = False


class Anything(Shape, frozen=True):
    """JSON that is not read."""


class Object(Shape, frozen=True, kw_only=True):
    """A message: `type` is its struct."""

    type: type[msgspec.Struct]


class Fields(msgspec.Struct, frozen=True):
    """Fields of one struct. shapes: by name as written; attributes: name as written → attribute; aliases: protobuf's
    own spelling (snake_case) → name as written. closed: whether other names are errors."""

    shapes: dict[str, Shape]
    attributes: dict[str, str]
    aliases: dict[str, str]
    closed: bool


@cache
def fields_of(struct: type[msgspec.Struct]) -> Fields:
    """The fields of a struct of the model."""
    hints = get_type_hints(struct, include_extras=True)
    names = dict(zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True))
    return Fields(
        shapes={name: shape_of(hints[attribute]) for attribute, name in names.items()},
        attributes={name: attribute for attribute, name in names.items()},
        aliases={
            attribute: name for attribute, name in names.items() if attribute != name and not attribute.endswith("_")
        },
        closed=struct.__struct_config__.forbid_unknown_fields,
    )


# A type annotation can be anything; this is the one place that takes one apart.
def shape_of(
    hint: Any, nullable: bool = False, duration: str = "", low: int | None = None, high: int | None = None
) -> Shape:
    origin = get_origin(hint)
    if origin is Annotated:
        hint, *metas = get_args(hint)
        for meta in metas:
            extra = meta.extra or {}
            nullable, duration = nullable or "nullable" in extra, duration or extra.get("duration", "")
            low, high = (low if meta.ge is None else meta.ge), (high if meta.le is None else meta.le)
        return shape_of(hint, nullable, duration, low, high)
    if origin in (Union, types.UnionType):
        (inner,) = (member for member in get_args(hint) if member is not types.NoneType)
        return shape_of(inner, nullable, duration, low, high)
    if origin is Literal:
        words = get_args(hint)
        return Words(nullable, words, dict(zip(_numbers(words), words, strict=True)))
    if origin is tuple:
        return Items(nullable, item=shape_of(get_args(hint)[0]))
    if origin is dict:
        key, value = get_args(hint)
        return Entries(nullable, value=shape_of(value), integer_keys=key is int)
    if hint is str:
        return Text(nullable, duration)
    if hint is bool:
        return Boolean(nullable)
    if hint is int:
        return Integer(nullable, *(bound for bound in (low, high) if bound is not None))
    if hint is float:
        return Number(nullable)
    if hint is msgspec.Raw:
        return Anything(nullable)
    return Object(nullable, type=hint)


def _numbers(words: tuple[str, ...]) -> list[int]:
    """Numbers of an enumeration: from 0 in the order of the words, but for the one that has a gap."""
    return [3 if word == "ALLOW_ANY_DYNAMIC_DNS" else number for number, word in enumerate(words)]
