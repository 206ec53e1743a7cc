"""Documents made from the model: every field of a kind set, and walks over them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from roadstead.config import KINDS
from roadstead.config.conform import Json
from roadstead.config.dialect import EXTENDED_FIELDS
from roadstead.config.schema import (
    Anything,
    Boolean,
    Entries,
    Integer,
    Items,
    Number,
    Object,
    Shape,
    Text,
    Words,
    fields_of,
)

Steps = tuple[str | int, ...]


def full(shape: Shape, *, extended: bool = False) -> Json:
    """A value with every field set, lists and maps with one member; of two sensible values not the default one."""
    match shape:
        case Object():
            return {
                name: full(inner, extended=extended)
                for name, inner in fields_of(shape.type).shapes.items()
                if extended or (shape.type, name) not in EXTENDED_FIELDS
            }
        case Items():
            return [full(shape.item, extended=extended)]
        case Entries():
            return {"8080" if shape.integer_keys else "key": full(shape.value, extended=extended)}
        case Text():
            return "3s" if shape.duration else "text"
        case Words():
            return shape.words[-1]
        case Integer():
            return 7
        case Number():
            return 0.5
        case Boolean():
            return True
        case Anything():
            return {"anything": [1]}
    raise AssertionError(shape)


def document(kind: str, spec: Json, **metadata: Json) -> dict[str, Json]:
    return {
        "apiVersion": KINDS[kind].api_versions[0],
        "kind": kind,
        "metadata": {"name": "one", **metadata},
        "spec": spec,
    }


def spec_shape(kind: str) -> Object:
    return Object(type=KINDS[kind].spec)


def places(shape: Shape, steps: Steps = ()) -> Iterator[tuple[Steps, Shape]]:
    """Every place in `full(shape)` with what belongs there, from the outside inwards."""
    yield steps, shape
    if isinstance(shape, Object):
        for name, inner in fields_of(shape.type).shapes.items():
            if (shape.type, name) not in EXTENDED_FIELDS:
                yield from places(inner, (*steps, name))
    elif isinstance(shape, Items):
        yield from places(shape.item, (*steps, 0))
    elif isinstance(shape, Entries):
        yield from places(shape.value, (*steps, "8080" if shape.integer_keys else "key"))


def replaced(tree: Json, steps: Steps, value: Json) -> Json:
    """The tree with another value at that place."""
    if not steps:
        return value
    if isinstance(tree, dict):
        return {**tree, str(steps[0]): replaced(tree[str(steps[0])], steps[1:], value)}
    assert isinstance(tree, list)
    index = int(steps[0])
    return [*tree[:index], replaced(tree[index], steps[1:], value), *tree[index + 1 :]]


def path_text(steps: Steps) -> str:
    return "spec" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def snake_cased(tree: Json, shape: Shape) -> Json:
    """The tree with field names in protobuf's spelling; keys of maps stay."""
    if isinstance(shape, Object) and isinstance(tree, dict):
        fields = fields_of(shape.type)
        spelling = {name: alias for alias, name in fields.aliases.items()}
        return {spelling.get(name, name): snake_cased(value, fields.shapes[name]) for name, value in tree.items()}
    if isinstance(shape, Items) and isinstance(tree, list):
        return [snake_cased(item, shape.item) for item in tree]
    if isinstance(shape, Entries) and isinstance(tree, dict):
        return {key: snake_cased(value, shape.value) for key, value in tree.items()}
    return tree


def paths(shape: Shape, prefix: str = "") -> Iterator[str]:
    """All fields as `http[].match[].uri`, `{}` for maps."""
    assert isinstance(shape, Object)
    for name, field in fields_of(shape.type).shapes.items():
        inner, suffix = field, ""
        if isinstance(field, Items):
            inner, suffix = field.item, "[]"
        elif isinstance(field, Entries):
            inner, suffix = field.value, "{}"
        yield prefix + name + suffix
        if isinstance(inner, Object):
            yield from paths(inner, f"{prefix}{name}{suffix}.")


def yaml_text(tree: Json) -> bytes:
    """JSON is YAML; one value a line, so that each has a line of its own."""
    return msgspec.json.format(msgspec.json.encode(tree), indent=2)
