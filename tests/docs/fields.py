"""The table of fields in python/docs/fields.md: made from the model and python/docs/fields.toml.

`python -m tests.docs.fields` writes it.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from roadstead.config.kinds import KINDS
from roadstead.config.mesh_config import MeshConfig
from roadstead.config.schema import Entries, Items, Object, Shape, fields_of
from roadstead.config.validate.effects import EFFECTS

DOCS = Path(__file__).parent.parent.parent / "python" / "docs"
TABLE = DOCS / "fields.md"
PROOF = "tests/docs/test_fields.py::test_what_is_compiled_has_an_effect"


class Fact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """compiled: the sample that changes without the field, a case of tests/golden or a file of tests/docs/data; "" where
    the field is not compiled. engine: the same for what the engine is given. test: another proof. note: why nothing
    comes of it, or how it differs from Istio; "" where the finding EFF-1 says it."""

    compiled: str = ""
    engine: str = ""
    test: str = ""
    note: str = ""


Facts = dict[str, dict[str, Fact]]
"""By message and by field as written; "*": those that are not named."""


def facts() -> Facts:
    return msgspec.convert(tomllib.loads((DOCS / "fields.toml").read_text()), Facts)


def fact_of(told: Facts, message: str, name: str) -> Fact | None:
    rows = told.get(message, {})
    return rows.get(name) or rows.get("*")


def effect_of(struct: type[msgspec.Struct], name: str) -> str:
    """What the finding EFF-1 says of a field, "" where it has none."""
    effect = EFFECTS.get(struct, {}).get(fields_of(struct).attributes[name])
    if effect is None:
        return ""
    where = f" (dialect {effect.dialect})" if effect.dialect else ""
    return f"EFF-1{where}: {effect.reads}" + (f"; instead: {effect.instead}" if effect.instead else "")


def messages() -> dict[str, type[msgspec.Struct]]:
    """Every message of the kinds and of MeshConfig, by name, in the order in which they are met."""
    found: dict[str, type[msgspec.Struct]] = {}
    for spec in (*(kind.spec for kind in KINDS.values()), MeshConfig):
        _below(spec, found)
    return found


def markdown() -> str:
    told = facts()
    lines = [
        "# Fields",
        "",
        "Every field of the eight kinds and of MeshConfig, and what comes of it. *compiled*: it decides what Envoy is",
        "sent; *engine*: it decides what the engine is given. Under *proof* stands the configuration whose result changes",
        f"when the field is left out (`{PROOF}`); with a number, its",
        "whole result is also the one Istio recorded for it (`tests/golden`). Made by `python -m tests.docs.fields`.",
    ]
    for message, struct in messages().items():
        lines += ["", f"## {message}", "", "| field | compiled | engine | proof | notes |", "|---|---|---|---|---|"]
        for name in fields_of(struct).attributes:
            fact = fact_of(told, message, name) or Fact()
            proof = ", ".join(dict.fromkeys(one for one in (fact.compiled, fact.engine, fact.test) if one))
            cells = (name, _mark(fact.compiled), _mark(fact.engine), proof, fact.note or effect_of(struct, name))
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _mark(sample: str) -> str:
    return "yes" if sample else "no"


def _below(struct: type[msgspec.Struct], found: dict[str, type[msgspec.Struct]]) -> None:
    if struct.__name__ in found:
        return
    found[struct.__name__] = struct
    for shape in fields_of(struct).shapes.values():
        inner = _message_in(shape)
        if inner is not None:
            _below(inner, found)


def _message_in(shape: Shape) -> type[msgspec.Struct] | None:
    if isinstance(shape, Items):
        return _message_in(shape.item)
    if isinstance(shape, Entries):
        return _message_in(shape.value)
    return shape.type if isinstance(shape, Object) else None


if __name__ == "__main__":
    TABLE.write_text(markdown())
