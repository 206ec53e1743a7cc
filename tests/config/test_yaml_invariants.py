"""Both readers give the same JSON and the same places for whatever text, and an error or JSON for whatever bytes."""

from __future__ import annotations

import json

import yaml as pyyaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.config.test_yaml import PLAIN
from tests.conftest import ENGINES

from roadstead.config import yaml

WORDS = st.sampled_from(
    [*PLAIN, "", "a b", "- x", "a: b", "#", " x ", "x\ny", "\n", "'", '"', "\\", "---", "é", "\U0001f600", "\t"]
)
LETTERS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029\ufeff"), max_size=12)
TREES = st.recursive(
    WORDS
    | LETTERS
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | LETTERS, inner, max_size=4),
    max_leaves=12,
)


def canonical(tree: object) -> object:
    """1.0 and 1 are one number in JSON."""
    if isinstance(tree, dict):
        return {key: canonical(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [canonical(value) for value in tree]
    return float(tree) if isinstance(tree, int) and not isinstance(tree, bool) else tree


@settings(max_examples=150, deadline=None)
@given(
    tree=TREES,
    style=st.sampled_from(["'", '"', "json", "pretty json"]),
    flow=st.booleans(),
    width=st.integers(20, 200),
    indent=st.integers(2, 6),
)
def test_a_tree_survives_every_style(tree: object, style: str, flow: bool, width: int, indent: int) -> None:
    if style in ("json", "pretty json"):
        text = json.dumps(tree, ensure_ascii=False, indent=indent if style == "pretty json" else None).replace(
            "\x7f", "\\u007f"
        )
        text = "".join(c if c.isprintable() or c in " \n" or c > "\u00a0" else f"\\u{ord(c):04x}" for c in text)
    else:
        text = pyyaml.dump(
            tree,
            Dumper=pyyaml.SafeDumper,
            default_style=style,
            default_flow_style=flow,
            width=width,
            indent=indent,
            allow_unicode=True,
        )
    results = [yaml.reader(name).load(text.encode()) for name in ENGINES]
    assert all(result == results[0] for result in results)
    assert len(results[0]) == 1
    assert results[0][0][0] is not None, (text, results[0])
    assert canonical(json.loads(results[0][0][0])) == canonical(tree)
    places = [yaml.reader(name).positions(text.encode(), 0) for name in ENGINES]
    assert all(place == places[0] for place in places)


@settings(max_examples=150, deadline=None)
@given(
    tree=TREES,
    flow=st.sampled_from([True, False, None]),
    width=st.integers(20, 200),
    aliased=st.booleans(),
    cut=st.integers(0, 400),
)
def test_both_readers_read_the_same_text_the_same(
    tree: object, flow: bool | None, width: int, aliased: bool, cut: int
) -> None:
    text = pyyaml.dump(
        [tree, tree] if aliased else tree,
        Dumper=pyyaml.SafeDumper,
        default_flow_style=flow,
        width=width,
        sort_keys=False,
    )
    for data in (text.encode(), text[:cut].encode()):
        results = [yaml.reader(name).load(data) for name in ENGINES]
        assert all([row[:3] for row in result] == [row[:3] for row in results[0]] for result in results), data
        for row in results[0]:
            places = [yaml.reader(name).positions(data, row[1]) for name in ENGINES]
            assert row[0] is None or all(place == places[0] for place in places), data


LINES = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(
            [
                "a: 1",
                "b:",
                "c: x # y",
                "- a",
                "-",
                "- b: 2",
                "- - c",
                "'d': \"e\"",
                "# f",
                "",
                "g",
                "<<: {h: 1}",
                "i: |",
                "j: [k",
                "l: 'm",
                "---",
                "- n: o: p",
                "q:r: s",
                "t: - u",
                'v: "w" x',
                "1: -1",
            ]
        ),
    ),
    max_size=10,
)


@settings(max_examples=400, deadline=None)
@given(lines=LINES)
def test_both_readers_read_lines_of_any_indentation_the_same(lines: list[tuple[int, str]]) -> None:
    text = "".join("  " * indent * (line != "---") + line + "\n" for indent, line in lines).encode()
    results = [yaml.reader(name).load(text) for name in ENGINES]
    assert all([row[:3] for row in result] == [row[:3] for row in results[0]] for result in results), text
    for row in results[0]:
        places = [yaml.reader(name).positions(text, row[1]) for name in ENGINES]
        assert row[0] is None or all(place == places[0] for place in places), text


SCRAPS = st.lists(
    st.sampled_from(
        [
            "a",
            "b: ",
            " ",
            "\n",
            "- ",
            '"',
            "'",
            ": ",
            "{",
            "}",
            "[",
            "]",
            ", ",
            "&a ",
            "*a",
            "!!int ",
            "|\n",
            ">",
            "#",
            "<<: ",
            "? ",
            "---\n",
            "...\n",
            "\t",
            "%YAML 1.1\n",
            "é",
            "\r",
            "\ufeff",
            "\x00",
            "\\",
        ]
    ),
    max_size=25,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200) | SCRAPS.map(str.encode))
def test_any_bytes_give_json_or_an_error_with_a_place(data: bytes) -> None:
    lines = data.count(b"\n") + data.count(b"\r") + 1
    for name in ENGINES:
        rows = yaml.reader(name).load(data)
        for row in rows:
            if row[0] is None:
                assert row[3]
                assert 1 <= row[4] <= lines + 1
                assert row[5] >= 1
            else:
                json.loads(row[0])
        for index in {row[1] for row in rows} | {0, 7}:
            for _pointer, *place in yaml.reader(name).positions(data, index):
                assert all(number >= 1 for number in place)
