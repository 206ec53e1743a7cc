"""A wrong value anywhere is reported there, and nowhere else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.config import KINDS
from roadstead.config.conform import Json
from roadstead.config.decode import decode, decode_tree
from roadstead.config.schema import Anything, Boolean, Entries, Integer, Items, Number, Object, Shape, Text, Words
from roadstead.config.yaml import Document, load

from .samples import Steps, document, full, path_text, places, replaced, spec_shape, yaml_text

EVERY_FIELD = [
    pytest.param(kind, steps, shape, id=f"{kind}:{path_text(steps)}")
    for kind in KINDS
    for steps, shape in places(spec_shape(kind))
    if steps
]


def wrong_values(shape: Shape) -> list[tuple[Json, str]]:
    """Values that do not belong to a shape, each with the code it is refused under."""
    match shape:
        case Object() | Items() | Entries():
            return [("text", "DEC-2"), (3, "DEC-2"), (True, "DEC-2"), (None, "DEC-3")]
        case Text():
            bad: list[tuple[Json, str]] = [(3, "DEC-2"), (True, "DEC-2"), ([], "DEC-2"), ({}, "DEC-2"), (None, "DEC-3")]
            return [*bad, ("3", "DEC-6"), ("", "DEC-6"), ("3 parsecs", "DEC-6")] if shape.duration else bad
        case Words():
            return [("NO_SUCH_WORD", "DEC-4"), (99, "DEC-4"), (True, "DEC-2"), ([], "DEC-2"), (None, "DEC-3")]
        case Integer():
            return [("x", "DEC-2"), (1.5, "DEC-2"), (True, "DEC-2"), ({}, "DEC-2"), (2**64, "DEC-5"), ("80.0", "DEC-2")]
        case Number():
            return [("x", "DEC-2"), (True, "DEC-2"), ([], "DEC-2")]
        case Boolean():
            return [("true", "DEC-2"), (1, "DEC-2"), ([], "DEC-2")]
        case Anything():
            return []
    raise AssertionError(shape)


@pytest.mark.parametrize(("kind", "steps", "shape"), EVERY_FIELD)
def test_wrong_value_is_one_error_at_its_place(kind: str, steps: Steps, shape: Shape) -> None:
    base = full(spec_shape(kind))
    for value, code in wrong_values(shape):
        found = decode_tree(document(kind, replaced(base, steps, value)))
        assert found.resources == ()
        assert [(each.code, each.severity, each.path) for each in found.findings] == [(code, "error", path_text(steps))]


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_field_at_every_object(kind: str) -> None:
    base = full(spec_shape(kind))
    for steps, shape in places(spec_shape(kind)):
        if not isinstance(shape, Object):
            continue
        here: Json = base
        for step in steps:
            here = here[step]  # type: ignore[index,call-overload]
        assert isinstance(here, dict)
        tree = document(kind, replaced(base, steps, {**here, "noSuchField": 1}))
        extended, istio = decode_tree(tree), decode_tree(tree, "istio")
        assert [each.path for each in extended.findings] == [f"{path_text(steps)}.noSuchField"]
        assert extended.findings == istio.findings
        assert extended.resources == ()
        assert istio.resource == decode_tree(document(kind, base), "istio").resource


@pytest.mark.parametrize("kind", KINDS)
def test_line_and_column_of_every_field(kind: str) -> None:
    """The value stands where the finding says, for every scalar of the kind."""
    base = full(spec_shape(kind))
    for steps, shape in places(spec_shape(kind)):
        if isinstance(shape, Object | Items | Entries | Anything):
            continue
        text = yaml_text(document(kind, replaced(base, steps, ["WRONG"])))
        lines = text.decode().split("\n")
        (finding,) = decode(load(text, "file.yaml")[0], text=text).findings
        marked = next(number for number, line in enumerate(lines, 1) if "WRONG" in line) - 1
        assert (finding.file, finding.line) == ("file.yaml", marked)
        assert lines[finding.line - 1][finding.column - 1] == "["


def test_all_errors_of_a_document_are_said_at_once() -> None:
    tree = document(
        "VirtualService",
        {
            "hosts": "a.test",
            "http": [{"timeout": 3, "retires": {}}, None, {"match": {"uri": {"exact": "/"}}}],
            "tcp": None,
        },
        labels={"version": 1},
    )
    assert [(each.code, each.path) for each in decode_tree(tree).findings] == [
        ("DEC-2", "metadata.labels.version"),
        ("DEC-2", "spec.hosts"),
        ("DEC-2", "spec.http[0].timeout"),
        ("DEC-1", "spec.http[0].retires"),
        ("DEC-3", "spec.http[1]"),
        ("DEC-2", "spec.http[2].match"),
        ("DEC-3", "spec.tcp"),
    ]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), kind=st.sampled_from(list(KINDS)))
def test_anything_anywhere_is_an_answer_and_never_a_crash(data: st.DataObject, kind: str) -> None:
    base = full(spec_shape(kind))
    steps, _ = data.draw(st.sampled_from(list(places(spec_shape(kind)))))
    tree = document(kind, replaced(base, steps, data.draw(JSON)))
    for dialect in ("istio", "extended"):
        found = decode_tree(tree, dialect)  # type: ignore[arg-type]
        assert found.resources or any(each.severity == "error" for each in found.findings)
        assert all(each.path.startswith(path_text(steps)) for each in found.findings)
        if any(each.code == "DEC-6" for each in found.findings):
            continue  # on the typed decoder's way durations are for the rules to look at
        typed = decode(Document("", 0, 0, msgspec.json.encode(tree)), dialect)  # type: ignore[arg-type]
        assert [each.spec for each in typed.resources] == [each.spec for each in found.resources]
        assert {(each.code, each.path) for each in typed.findings} == {
            (each.code, each.path) for each in found.findings
        }


@settings(deadline=None)
@given(tree=JSON)
def test_any_tree_at_all(tree: Json) -> None:
    found = decode_tree(tree)
    assert found.resources == ()
    text = msgspec.json.encode(tree)
    for one in load(text, "x"):
        assert decode(one, text=text).resources == ()
