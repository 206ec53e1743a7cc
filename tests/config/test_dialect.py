"""The table of the extended dialect."""

from __future__ import annotations

import pytest

from roadstead.config import CODES, EXTENSIONS, Dialect, Resolution, ServiceEntry, resolution_of
from roadstead.config.dialect import EXTENDED_FIELDS, EXTENDED_NAMES
from roadstead.config.schema import fields_of


def test_every_row_has_a_code_and_says_what_istio_does() -> None:
    assert {code for code in CODES if code.startswith("EXT-")} == {*EXTENSIONS, "EXT-10"}
    assert all(row.means and row.istio for row in EXTENSIONS.values())


def test_fields_are_fields_of_the_model() -> None:
    for (struct, name), (row, instead) in EXTENDED_FIELDS.items():
        shapes = fields_of(struct).shapes
        assert name in shapes
        assert row in EXTENSIONS
        assert not instead or instead in shapes
        assert f'"{name}"'.encode() in EXTENDED_NAMES


@pytest.mark.parametrize(
    ("entry", "extended", "istio"),
    [
        (ServiceEntry(hosts=("a.test",)), "DNS", "NONE"),
        (ServiceEntry(hosts=("a.test", "*.b.test")), "NONE", "NONE"),
        (ServiceEntry(hosts=("a.test",), addresses=("10.0.0.1",)), "DNS", "NONE"),
        (ServiceEntry(hosts=("a.test",), addresses=("10.0.0.0/8",)), "NONE", "NONE"),
        (ServiceEntry(hosts=("a.test",), resolution="NONE"), "NONE", "NONE"),
        (ServiceEntry(hosts=("a.test",), resolution="STATIC"), "STATIC", "STATIC"),
    ],
)
def test_resolution_in_force(entry: ServiceEntry, extended: Resolution, istio: Resolution) -> None:
    wanted: dict[Dialect, Resolution] = {"extended": extended, "istio": istio}
    for dialect, resolution in wanted.items():
        assert resolution_of(entry, dialect) == resolution
