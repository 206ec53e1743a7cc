"""A value of blanks, and what is made of it with names."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead import _lowered as low
from roadstead.compile.filling import MOST_BLANKS, blank, could_be_blank, filling
from roadstead.mesh import Origin, Port, Service

NAME, HOST, ADDRESS = blank("n", 0), blank("h", 1), blank("4", 2)
NAMES = ("one", "x.com", "10.0.0.1")


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    left: object
    right: object


@pytest.mark.parametrize(
    ("value", "made"),
    [
        ("plain", "plain"),
        (NAME, "one"),
        (HOST, "x.com"),
        (ADDRESS, "10.0.0.1"),
        (f"outbound|80||{HOST}", "outbound|80||x.com"),
        (f"{NAME}.{HOST}.", "one.x.com."),
        (f"100% {HOST} {ADDRESS}%", "100% x.com 10.0.0.1%"),
        (low.place(1) + low.place(0), "x.comone"),
        ((1, None, True, b"b", 1.5, HOST), (1, None, True, b"b", 1.5, "x.com")),
        ({NAME: HOST, "k": "v"}, {"one": "x.com", "k": "v"}),
        (frozenset({NAME, "k"}), frozenset({"one", "k"})),
        (Pair(left=NAME, right=(HOST,)), Pair(left="one", right=("x.com",))),
        (Origin("K", NAME, HOST, "/spec"), Origin("K", "one", "x.com", "/spec")),
    ],
)
def test_names_stand_where_blanks_were(value: object, made: object) -> None:
    assert filling(value)(NAMES) == made
    assert type(filling(value)(NAMES)) is type(made)


def test_what_has_no_blank_is_the_same_object() -> None:
    ports = (Port(80, "http", "HTTP"),)
    value = Pair(left=ports, right=HOST)
    fill = filling(value)
    assert fill(NAMES).left is ports
    plain = Pair(left=ports, right="x")
    assert filling(plain)(NAMES) is plain


def test_one_object_stays_one_object() -> None:
    origin = Origin("K", NAME, HOST)
    made = filling((origin, (origin,), Origin("K", NAME, HOST)))(NAMES)
    assert made[0] is made[1][0]
    assert made[0] == made[2]
    assert made[0] is not made[2]


def test_a_service_with_fields_by_name() -> None:
    origin = Origin("ServiceEntry", NAME, "a")
    service = Service(
        host=HOST, namespace=NAME, object_name="a", ports=(), resolution="DNS", mesh_external=True, origin=origin
    )
    made = filling(service)(NAMES)
    assert (made.host, made.namespace, made.origin.namespace) == ("x.com", "one", "one")


@pytest.mark.parametrize("text", [HOST[:-1], HOST[1:], NAME + "\x02", ADDRESS[:-1], HOST.partition(".")[0]])
def test_a_name_that_was_taken_apart_is_noticed(text: str) -> None:
    with pytest.raises(ValueError, match="taken apart"):
        filling((text,))


def test_what_cannot_be_filled_is_an_error() -> None:
    with pytest.raises(TypeError, match="no filling for list"):
        filling(([HOST],))


@given(st.lists(st.sampled_from(["n", "h", "4"]), min_size=1, max_size=MOST_BLANKS))
def test_blanks_are_told_apart(kinds: list[str]) -> None:
    blanks = [blank(kind, index) for index, kind in enumerate(kinds)]
    names = [str(index) for index in range(len(kinds))]
    assert filling("|".join(blanks))(names) == "|".join(names)


def test_texts_that_blanks_could_be_taken_for() -> None:
    assert could_be_blank(b'{"address":"255.254.253.1"}')
    assert not could_be_blank(b'{"address":"10.0.0.1"}')
