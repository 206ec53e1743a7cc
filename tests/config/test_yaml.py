"""Both readers give the same JSON, the same places and an error each for the same texts."""

from __future__ import annotations

import json
import threading

import pytest

from roadstead.config import yaml
from roadstead.config.yaml import MAX_ALIASES, MAX_BYTES, MAX_DEPTH, MAX_SCALAR, Positions, Reader, Row
from roadstead.errors import EngineError


@pytest.fixture
def reader(engine_name: str) -> Reader:
    return yaml.reader(engine_name)


def one(reader: Reader, text: str | bytes) -> str:
    """The JSON of the one document of a text."""
    rows = reader.load(text if isinstance(text, bytes) else text.encode())
    assert [row[3:] for row in rows] == [(None, 0, 0)]
    assert rows[0][0] is not None
    return rows[0][0].decode()


def refusal(reader: Reader, text: str | bytes) -> tuple[str, int, int]:
    """Message, line and column of the only error of a text."""
    rows = [row for row in reader.load(text if isinstance(text, bytes) else text.encode()) if row[0] is None]
    assert len(rows) == 1, rows
    message, line, column = rows[0][3:]
    assert message
    return message, line, column


PLAIN = {
    # booleans of YAML 1.1, in the casings Go takes
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], "true"),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], "false"),
    **{word: json.dumps(word) for word in ["yES", "tRUE", "oN", "nO", "oFF", "fALSE", "yep", "none", "None", "nULL"]},
    **dict.fromkeys(["~", "null", "Null", "NULL"], "null"),
    # integers
    "0": "0",
    "-0": "0",
    "+1": "1",
    "80": "80",
    "1_000": "1000",
    "1_": "1",
    "1__0": "10",
    "-_1": "-1",
    "0120": "80",
    "010": "8",
    "0777": "511",
    "0o14": "12",
    "0O17": "15",
    "-017": "-15",
    "0_7": "7",
    "0x51": "81",
    "0X1f": "31",
    "-0x10": "-16",
    "0b11": "3",
    "0B101": "5",
    "-0b11": "-3",
    "0b-11": "-3",
    "9223372036854775807": "9223372036854775807",
    "-9223372036854775808": "-9223372036854775808",
    "18446744073709551615": "18446744073709551615",
    "18446744073709551616": "18446744073709552000",
    "+18446744073709551615": "18446744073709552000",
    # no octal numbers, so decimal floats
    "08": "8",
    "0128": "128",
    # floats, printed as Go prints them
    "1.0": "1",
    "1.": "1",
    ".5": "0.5",
    "-.5": "-0.5",
    "1e3": "1000",
    "12e03": "12000",
    "1E-7": "1e-7",
    "1e21": "1e+21",
    "1e20": "100000000000000000000",
    "0.000001": "0.000001",
    "123e-9": "1.23e-7",
    "-0.0": "-0",
    "6.02e+23": "6.02e+23",
    ".1_0": "0.1",
    "1_0.5": "10.5",
    "5e-324": "5e-324",
    "1.7976931348623157e308": "1.7976931348623157e+308",
    "1e-400": "0",
    "٣": '"٣"',
    # strings
    **{
        text: json.dumps(text)
        for text in [
            "1:30",
            "190:20:30",
            "2024-01-01",
            "2024-01-01T10:20:30Z",
            "1e400",
            "-1e400",
            "=",
            "<<",
            "1.2.3",
            "10.0.0.1",
            "1e",
            "e1",
            "0x",
            "0xg",
            "0o8",
            "0b2",
            "_1",
            "+",
            ".",
            "..",
            "+-1",
            "1 2",
            "._1",
            ".1_",
            "v1",
            "*.x"[1:],
            "0x1.8p1",
            "inf",
            "nan",
            "Infinity",
            "+.nan",
            "1,2",
            "a#b",
            "http://x/y?z",
            "10m",
            "1%",
        ]
    },
}

DOCUMENTS = {
    # quotes, blocks, several lines
    "'yes'": '"yes"',
    '"1"': '"1"',
    "''": '""',
    "'it''s'": '"it\'s"',
    '"a\\tb\\u00e9\\x41\\n"': '"a\\tbéA\\n"',
    '"a\\\n  b"': '"ab"',
    '"a\n\n  b"': '"a\\nb"',
    "a\n  b": '"a b"',
    "'<a&b>'": '"<a&b>"',
    '"\\0\\e"': '"\\u0000\\u001b"',
    "a: |\n  x\n   y\n\n": '{"a":"x\\n y\\n"}',
    "a: |-\n  x\n\n": '{"a":"x"}',
    "a: |+\n  x\n\n": '{"a":"x\\n\\n"}',
    "a: |2\n   x\n": '{"a":" x\\n"}',
    "a: |\n  x": '{"a":"x"}',
    "a: >\n  x\n  y\n\n  z\n": '{"a":"x y\\nz\\n"}',
    "a: |\n  # kept\n  k: v\nb: 1": '{"a":"# kept\\nk: v\\n","b":1}',
    "a: b\n  c\nd: 1": '{"a":"b c","d":1}',
    # collections
    "a:\n- 1\n-\n- - 2\n  - 3\n- b: 4\n  c:\n": '{"a":[1,null,[2,3],{"b":4,"c":null}]}',
    "a:\n  - 1": '{"a":[1]}',
    "- a\n- b: c\n": '["a",{"b":"c"}]',
    "[]": "[]",
    "{}": "{}",
    "a: []\nb: {}": '{"a":[],"b":{}}',
    "- \n- ": "[null,null]",
    "{a: 1, 'b': [x, \"y\"], c}": '{"a":1,"b":["x","y"],"c":null}',
    "[a, b,]": '["a","b"]',
    "[a: 1]": '[{"a":1}]',
    '{"a":{"b":[1,true,null,"x\\u00e9\\/"]}}': '{"a":{"b":[1,true,null,"xé/"]}}',
    '{\n\t"a": 1,\n\t"b": 2\n}': '{"a":1,"b":2}',
    "? a\n: b": '{"a":"b"}',
    "a:\nb:": '{"a":null,"b":null}',
    # keys
    "1: a": '{"1":"a"}',
    "0x10: a": '{"16":"a"}',
    "true: a": '{"true":"a"}',
    "on: a": '{"true":"a"}',
    "n: a": '{"false":"a"}',
    "1.5: a": '{"1.5":"a"}',
    "1e6: a": '{"1e+06":"a"}',
    "0.00001: a": '{"1e-05":"a"}',
    "0.1: a": '{"0.1":"a"}',
    "16777217.0: a": '{"1.6777216e+07":"a"}',
    ".inf: a": '{".inf":"a"}',
    "1e300: a": '{".inf":"a"}',
    ".nan: a": '{".nan":"a"}',
    "'1': a\n'~': b": '{"1":"a","~":"b"}',
    "2024-01-01: a": '{"2024-01-01":"a"}',
    "a/b~c: 1": '{"a/b~c":1}',
    # anchors
    "a: &x [1, 2]\nb: *x": '{"a":[1,2],"b":[1,2]}',
    "- &x a\n- *x\n- &x b\n- *x": '["a","a","b","b"]',
    "&k key: 1\nother: *k": '{"key":1,"other":"key"}',
    "a: &x on\n*x : 1": '{"a":true,"true":1}',
    "a: &x\nb: *x": '{"a":null,"b":null}',
    # merge keys: the own value wins, wherever it stands
    "a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3": '{"a":{"b":1,"c":2},"d":{"c":3,"b":1}}',
    "a: &x {b: 1}\nd: {b: 2, <<: *x}": '{"a":{"b":1},"d":{"b":2}}',
    "- &x {a: 1}\n- &y {a: 2, b: 2}\n- <<: [*x, *y]": '[{"a":1},{"a":2,"b":2},{"a":1,"b":2}]',
    "<<: {a: 1}\nb: 2": '{"b":2,"a":1}',
    "<<: {a: 1}\n<<: {a: 2, b: 2}": '{"a":2,"b":2}',
    "<<: &x {a: &y 1}\nb: *x\nc: *y": '{"b":{"a":1},"c":1,"a":1}',
    "'<<': {a: 1}": '{"<<":{"a":1}}',
    "<<: {}": "{}",
    # tags
    "!!str 80": '"80"',
    "!!str": '""',
    "!!int '12'": "12",
    "!!float 1": "1",
    "!!bool 'yes'": "true",
    "!!null ''": "null",
    "!!binary aGVsbG8=": '"hello"',
    "!!binary /w==": '"\ufffd"',
    "!!timestamp 2024-01-01": '"2024-01-01"',
    "!other 1": '"1"',
    "! 12": "12",
    '! "12"': "12",
    "!!map {a: 1}": '{"a":1}',
    "!!set {a, b}": '{"a":null,"b":null}',
    "%TAG !e! tag:yaml.org,2002:\n---\n!e!str 1": '"1"',
    "%YAML 1.1\n---\na: 1": '{"a":1}',
    "!<tag:yaml.org,2002:str> 1": '"1"',
    # comments, markers, breaks
    "# c\na: 1 # d\n# e\nb: x#y": '{"a":1,"b":"x#y"}',
    "--- # c\na: 1\n...\n": '{"a":1}',
    "--- a": '"a"',
    "--- |\n x\n": '"x\\n"',
    "a: 1\r\nb: |\r\n  x\r\n  y\r\n": '{"a":1,"b":"x\\ny\\n"}',
    "a: 1\rb: 2": '{"a":1,"b":2}',
    "\ufeffa: 1": '{"a":1}',
    "a: 'x\ty'": '{"a":"x\\ty"}',
    "a: é😀 \u00a0x": '{"a":"é😀 \u00a0x"}',
    "a:  1  \n\n\nb:   'x'   # c": '{"a":1,"b":"x"}',
    "a: \"'\"\nb: '\"'": '{"a":"\'","b":"\\""}',
    "a: x'y\"z": '{"a":"x\'y\\"z"}',
    "a: -1\nb: -x\nc: --": '{"a":-1,"b":"-x","c":"--"}',
}


@pytest.mark.parametrize("text", PLAIN, ids=repr)
def test_a_plain_scalar_means_what_it_means_to_go(reader: Reader, text: str) -> None:
    expected = PLAIN[text]
    assert one(reader, f"k: {text}\n") == f'{{"k":{expected}}}'
    assert one(reader, f"- {text} # said\n- x") == f'[{expected},"x"]'
    assert one(reader, f"- &x\n- {text}") == f"[null,{expected}]"
    assert one(reader, f"! {text}") == expected
    if "," not in text:
        assert one(reader, f"[{text}]") == f"[{expected}]"


@pytest.mark.parametrize("text", DOCUMENTS, ids=repr)
def test_a_document_becomes_this_json(reader: Reader, text: str) -> None:
    assert one(reader, text) == DOCUMENTS[text]
    json.loads(DOCUMENTS[text])


REFUSED = {
    # text: (a part of the message, line, column)
    "a: 1\nb: 2\na: 3": ('key "a" already set in map', 3, 1),
    "spec:\n  hosts: [a]\n  hosts: [b]": ('key "hosts" already set in map', 3, 3),
    "{a: 1, a: 2}": ('key "a" already set in map', 1, 8),
    "1: a\n'1': b": ('key "1" already set in map', 2, 1),
    "y: a\non: b": ('key "true" already set in map', 2, 1),
    "~: a": ("must not be null", 1, 1),
    "18446744073709551615: a": ("too large an integer", 1, 1),
    "? [a]\n: b": ("must be a scalar", 1, 3),
    "a: &x [1]\n*x : b": ("must be a scalar", 2, 1),
    "a: .inf": ("JSON has no number `.inf`", 1, 4),
    "a:\n  - .NaN": ("JSON has no number `.NaN`", 2, 5),
    "a: &x [*x]": ("contains itself", 1, 8),
    "a: *x": ("unknown anchor", 1, 4),
    "<<: 1": ("map merge requires map or sequence of maps", 1, 5),
    "<<: [{}, 1]\n": ("map merge requires map or sequence of maps", 1, 11),
    "a: &x [{}]\nb:\n  <<: *x": ("map merge requires map or sequence of maps", 3, 7),
    "a: !!int x": ("cannot decode !!str `x` as a !!int", 1, 4),
    "a: !!int 1.5": ("cannot decode !!float `1.5` as a !!int", 1, 4),
    "a: !!bool 1": ("cannot decode !!int `1` as a !!bool", 1, 4),
    "a: !!null x": ("cannot decode !!str `x` as a !!null", 1, 4),
    "a: !!float ''": ("cannot decode !!null `` as a !!float", 1, 4),
    "a: !!timestamp 1": ("cannot decode !!int `1` as a !!timestamp", 1, 4),
    "a: !!binary x": ("invalid base64", 1, 4),
    "a: 1\n b: 2": ("mapping values are not allowed", 2, 3),
    "a: x\u2028y": ("U+2028 is not allowed", 1, 5),
    "a: é\x00": ("U+0000 is not allowed", 1, 5),
    "a: 1\r\nb: \x07": ("U+0007 is not allowed", 2, 4),
    "a: 1\nb: \ufeff": ("U+FEFF is not allowed", 2, 4),
}


@pytest.mark.parametrize("text", REFUSED, ids=repr)
def test_a_document_is_refused_with_the_place(reader: Reader, text: str) -> None:
    part, line, column = REFUSED[text]
    message, at_line, at_column = refusal(reader, text)
    assert part in message
    assert (at_line, at_column) == (line, column)


@pytest.mark.parametrize(
    "text", ["a: [", "a: {", "a: 'x", 'a: "\\q"', "a: @x", "a: [}", "- a\nb: c", "a: %x", "%TAG\n", "a: b: c"]
)
def test_what_is_not_yaml_is_refused(reader: Reader, text: str) -> None:
    _, line, column = refusal(reader, f"ok: 1\n---\n{text}\n---\nok: 2\n")
    assert line >= 3
    assert column >= 1
    assert [row[0] for row in reader.load(f"ok: 1\n---\n{text}\n---\nok: 2\n".encode())][::2] == [
        b'{"ok":1}',
        b'{"ok":2}',
    ]


@pytest.mark.parametrize(
    ("data", "column"),
    [(b"a: \xff", 4), ("a: é".encode() + b"\xe2\x82", 5), (b"\xff\xfea\x00", 1), (b"a: \xed\xa0\x80", 4)],
)
def test_bytes_that_are_no_utf8_are_refused_with_the_place(reader: Reader, data: bytes, column: int) -> None:
    text = b"ok: 1\n---\n" + data + b"\n---\nok: 2"
    assert refusal(reader, text) == ("not UTF-8", 3, column)
    assert [row[0] for row in reader.load(text)] == [b'{"ok":1}', None, b'{"ok":2}']


SPLIT = {
    # text: (index, line, json) of each document
    "": [],
    "\n # c\n---\n": [],
    "a\n": [(0, 1, '"a"')],
    "a\n---\nb\n": [(0, 1, '"a"'), (1, 3, '"b"')],
    "# c\n---\n\n# d\na: 1\n": [(0, 5, '{"a":1}')],
    "---\n---\na: 1\n---\n# c\n---\nb: 1\n---\n": [(1, 3, '{"a":1}'), (3, 7, '{"b":1}')],
    "a\n...\nb\n...\n---\nc": [(0, 1, '"a"'), (1, 3, '"b"'), (2, 6, '"c"')],
    "a\n...\n# c\n": [(0, 1, '"a"')],
    "...\n...\na": [(0, 3, '"a"')],
    "--- a\n--- # c\nb\n---\tc": [(0, 1, '"a"'), (1, 3, '"b"'), (2, 4, '"c"')],
    "%YAML 1.1\n# c\n---\na": [(0, 4, '"a"')],
    "a: |\n  x\n  ---\n  y\n---\nb": [(0, 1, '{"a":"x\\n---\\ny\\n"}'), (1, 6, '"b"')],
    "a: |\n  x\n---\nb": [(0, 1, '{"a":"x\\n"}'), (1, 4, '"b"')],
    "a: x\n ---\n": [(0, 1, '{"a":"x ---"}')],
    "---x: 1\n": [(0, 1, '{"---x":1}')],
    "a\r\n---\r\nb\r\n": [(0, 1, '"a"'), (1, 3, '"b"')],
    "--- ~\n--- ''": [(0, 1, "null"), (1, 2, '""')],
}


@pytest.mark.parametrize("text", SPLIT, ids=repr)
def test_a_text_is_cut_at_markers(reader: Reader, text: str) -> None:
    rows = reader.load(text.encode())
    assert [(index, line, (json or b"").decode()) for json, index, line, *_ in rows] == SPLIT[text]


def test_an_error_costs_one_document_and_has_the_line_of_the_file(reader: Reader) -> None:
    text = "a: 1\n---\nb: [1\n--- \nc: 2\n---\nd: 1\nd: 2\n---\n{e\n---\nf: 3\n"
    rows = reader.load(text.encode())
    assert [row[0] for row in rows] == [b'{"a":1}', None, b'{"c":2}', None, None, b'{"f":3}']
    assert [row[1:3] for row in rows] == [(0, 1), (1, 3), (2, 5), (3, 7), (4, 10), (5, 12)]
    assert rows[3][3:] == ('key "d" already set in map', 8, 1)
    assert rows[1][4] in (3, 4)


PLACES = {
    "a: 1\nb:\n  c: é\n  d: [1, {e: 2}]\n  'f/~': x\n": {
        "": (1, 1, 1, 1),
        "/a": (1, 1, 1, 4),
        "/b": (2, 1, 3, 3),
        "/b/c": (3, 3, 3, 6),
        "/b/d": (4, 3, 4, 6),
        "/b/d/0": (4, 7, 4, 7),
        "/b/d/1": (4, 10, 4, 10),
        "/b/d/1/e": (4, 11, 4, 14),
        "/b/f~1~0": (5, 3, 5, 10),
    },
    # sequences that are not indented, items that are not written
    "a:\n- x\n-\n- - y\n  - z\n- b: 1\nc:\nd: 1": {
        "": (1, 1, 1, 1),
        "/a": (1, 1, 2, 1),
        "/a/0": (2, 3, 2, 3),
        "/a/1": (3, 2, 3, 2),
        "/a/2": (4, 3, 4, 3),
        "/a/2/0": (4, 5, 4, 5),
        "/a/2/1": (5, 5, 5, 5),
        "/a/3": (6, 3, 6, 3),
        "/a/3/b": (6, 3, 6, 6),
        "/c": (7, 1, 7, 1),
        "/d": (8, 1, 8, 4),
    },
    # the first item of such a sequence is not written
    "b:\n-\n- # c\n- a\nx:\n  w:\n  -\n  - - \n    - z\n": {
        "": (1, 1, 1, 1),
        "/b": (1, 1, 2, 1),
        "/b/0": (2, 2, 2, 2),
        "/b/1": (3, 2, 3, 2),
        "/b/2": (4, 3, 4, 3),
        "/x": (5, 1, 6, 3),
        "/x/w": (6, 3, 7, 3),
        "/x/w/0": (7, 4, 7, 4),
        "/x/w/1": (8, 5, 8, 5),
        "/x/w/1/0": (8, 6, 8, 6),
        "/x/w/1/1": (9, 7, 9, 7),
    },
    # block scalars at their sign, anchors and tags in front of what they belong to, aliases where they are used
    "a: |\n  x\nb: >- # c\n  y\nc: &x !!str\n  z\nd: *x\ne: &y\n  f: 1\n<<: *y\n": {
        "": (1, 1, 1, 1),
        "/a": (1, 1, 1, 4),
        "/b": (3, 1, 3, 4),
        "/c": (5, 1, 5, 4),
        "/d": (7, 1, 7, 4),
        "/e": (8, 1, 8, 4),
        "/e/f": (9, 3, 9, 6),
        "/<<": (10, 1, 10, 5),
    },
    # keys are those of the JSON
    "on: 1\n0x10: 2\n": {"": (1, 1, 1, 1), "/true": (1, 1, 1, 5), "/16": (2, 1, 2, 7)},
    "é: {a: '', b: , c: x}": {
        "": (1, 1, 1, 1),
        "/é": (1, 1, 1, 4),
        "/é/a": (1, 5, 1, 8),
        "/é/b": (1, 12, 1, 12),
        "/é/c": (1, 17, 1, 20),
    },
    "--- # c\n\n- a\n": {"": (3, 1, 3, 1), "/0": (3, 3, 3, 3)},
    # up to the first error
    "a: 1\nb: [\n": {"": (1, 1, 1, 1), "/a": (1, 1, 1, 4), "/b": (2, 1, 2, 4)},
}


@pytest.mark.parametrize("text", PLACES, ids=repr)
@pytest.mark.parametrize(
    "before", ["", "x: 1\n---\n---\n", "x: [\r\n---\r\n\r\n---\r\n"], ids=["first", "third", "after an error"]
)
def test_every_node_has_its_place(reader: Reader, text: str, before: str) -> None:
    shift, index = (before.count("\n"), 2) if before else (0, 0)
    text = before + (text.removeprefix("--- # c\n") if before else text)
    shift -= 1 if before and "\n\n- a" in text else 0
    found = {pointer: tuple(place) for pointer, *place in reader.positions(text.encode(), index)}
    expected = next(places for known, places in PLACES.items() if text.endswith(known.removeprefix("--- # c\n")))
    assert found == {p: (a + shift, b, c + shift, d) for p, (a, b, c, d) in expected.items()}


def test_a_field_that_is_not_written_is_where_its_parent_is() -> None:
    places = yaml.positions("spec:\n  http:\n  - route: &r [{weight: 1}]\n  - route: *r\n", 0)
    assert places.at("/spec/http/0/route/0/weight") == (3, 25)
    assert places.key("/spec/http/0/route/0/weight") == (3, 17)
    assert places.at("/spec/http/1/route/0/weight") == (4, 12)
    assert places.at("/spec/tcp/0") == (2, 3)
    assert places.key("/spec/tcp/0") == (1, 1)
    assert places.at("/") == places.at("") == (1, 1)
    assert yaml.positions("", 0).at("/a") is None
    assert yaml.positions("a: 1", 7).key("/a") is None
    assert Positions([("/a", 1, 2, 3, 4), ("/a", 5, 6, 7, 8)]).at("/a") == (3, 4)


def test_load_gives_documents_with_their_origin() -> None:
    good, bad = yaml.load("a: 1\n---\nb: [", "f.yaml")
    assert (good.origin, good.index, good.line, good.json, good.error) == ("f.yaml", 0, 1, b'{"a":1}', None)
    assert bad.json is None
    assert bad.error is not None
    assert bad.error.line >= 3
    assert yaml.load("a: \ud800")[0].error is not None
    assert yaml.load(b"a: 1") == yaml.load("a: 1")


def test_a_reader_is_chosen_by_the_name_of_its_engine() -> None:
    with pytest.raises(EngineError, match="no engine named 'other'"):
        yaml.reader("other")
    assert yaml.reader("fallback").load(b"a: y") == [(b'{"a":true}', 0, 1, None, 0, 0)]


# Budgets


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


OVER = {
    "deep block": (
        "\n".join(" " * n + "a:" for n in range(MAX_DEPTH + 1)) + " 1",
        f"nested deeper than {MAX_DEPTH} levels",
    ),
    "deep flow": ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), f"nested deeper than {MAX_DEPTH} levels"),
    "deep dashes": ("- " * 100_000, f"nested deeper than {MAX_DEPTH} levels"),
    "deep by aliases": (
        "a0: &a0 [x]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 200)),
        f"nested deeper than {MAX_DEPTH} levels",
    ),
    "open brackets": ("[" * 1_000_000, ""),
    "open braces": ("{a: " * 300_000, ""),
    "open question": ("? " * 300_000, "must be a scalar"),
    "billion laughs": (laughs(12), f"aliases add more than {MAX_ALIASES} nodes"),
    "laughs by merging": (
        "a: &a {b: 1}\nc:\n" + "- <<: *a\n" * (MAX_ALIASES // 2 + 1),
        f"aliases add more than {MAX_ALIASES} nodes",
    ),
    "long aliases": (f"a: &a '{'x' * 1_000_000}'\nb: [{'*a,' * 100}]", f"more than {MAX_BYTES} bytes"),
    "plain scalar": ("a: " + "x" * 10_000_000, f"a scalar of more than {MAX_SCALAR} bytes"),
    "quoted scalar": ("a: '" + "x" * 10_000_000 + "'", f"a scalar of more than {MAX_SCALAR} bytes"),
    "block scalar": ("a: |\n" + "  xxxxxxxxx\n" * 1_000_000, f"a scalar of more than {MAX_SCALAR} bytes"),
    "scalar of many lines": ("a:\n" + "  xxxxxxxxx\n" * 1_000_000, f"a scalar of more than {MAX_SCALAR} bytes"),
    "long key": ("? " + "x" * 10_000_000, f"a scalar of more than {MAX_SCALAR} bytes"),
    "characters count as bytes": ("é" * (MAX_SCALAR // 2 + 1), f"a scalar of more than {MAX_SCALAR} bytes"),
    "open quote": ("a: '" + "x\n" * 1_000_000, ""),
}


@pytest.mark.parametrize("name", OVER)
def test_a_document_over_a_limit_is_refused_and_the_next_is_read(reader: Reader, name: str) -> None:
    text, part = OVER[name]
    data = f"{text}\n---\nok: 1\n".encode()
    assert part in refusal(reader, data)[0]
    assert reader.load(data)[-1][0] == b'{"ok":1}'
    assert len(reader.positions(data, 0)) < 1_000_000


WITHIN = {
    "deep": "[" * MAX_DEPTH + "]" * MAX_DEPTH,
    "long scalar": "x" * MAX_SCALAR,
    "aliases": "a: &a [" + "1," * 998 + "]\nb: [" + "*a," * 100 + "]",
    "many keys": "\n".join(f"k{n}: {n}" for n in range(20_000)),
    "many documents": "a: 1\n---\n" * 2_000,
    "only markers": "---\n" * 2_000,
    "only breaks": "\n" * 1_000_000,
    "only blanks": " " * 1_000_000,
    "only underscores": "1" + "_" * 1_000_000,
    "only digits": "9" * 1_000_000,
}


@pytest.mark.parametrize("name", WITHIN)
def test_what_is_large_but_within_the_limits_is_read(reader: Reader, name: str) -> None:
    for row in reader.load(WITHIN[name].encode()):
        assert row[0] is not None, row
        json.loads(row[0])


def test_a_key_set_twice_is_found_among_many(reader: Reader) -> None:
    text = "\n".join(f"k{n}: {n}" for n in range(5_000))
    assert refusal(reader, f"{text}\nk17: x") == ('key "k17" already set in map', 5_001, 1)


def test_threads_may_read_at_once(reader: Reader) -> None:
    text = b"a: [1, 2]\n---\n" * 200
    results: list[list[Row]] = []
    threads = [threading.Thread(target=lambda: results.append(reader.load(text))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [reader.load(text)] * 4
