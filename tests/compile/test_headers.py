"""Header operations and the authority."""

from __future__ import annotations

import msgspec
import pytest
import yaml

from roadstead.compile.headers import authority, header_ops
from roadstead.config import Headers
from roadstead.mesh import HeaderOps
from roadstead.mesh.route import NO_OPS


def headers(text: str) -> Headers | None:
    return msgspec.convert(yaml.safe_load(text), Headers | None)


def test_operations_are_sorted_by_name_and_removals_stay_as_written() -> None:
    made = header_ops(
        headers(
            """
            request: {set: {x-set: a, x-b: b}, add: {x-z: z, x-add: "%REQ(x-id)%"}, remove: [x-gone, x-away]}
            response: {set: {x-r: a}, add: {x-s: c}, remove: [server]}
            """
        )
    )
    assert made == HeaderOps(
        (("x-b", "b"), ("x-set", "a")),
        (("x-add", "%REQ(x-id)%"), ("x-z", "z")),
        ("x-gone", "x-away"),
        (("x-r", "a"),),
        (("x-s", "c"),),
        ("server",),
    )


@pytest.mark.parametrize(
    "text",
    ["null", "{}", "{request: {}}", "{request: {set: {Host: a, ':path': /x}, remove: [host, ':method']}}"],
)
def test_nothing_is_one_object(text: str) -> None:
    assert header_ops(headers(text)) is NO_OPS


@pytest.mark.parametrize(
    ("text", "rewritten"),
    [
        ("null", ""),
        ("{response: {set: {host: a.test}}}", ""),
        ("{request: {set: {Host: a.test}}}", "a.test"),
        ("{request: {add: {':authority': a.test}}}", "a.test"),
        ("{request: {set: {host: set.test}, add: {host: add.test}}}", "set.test"),
    ],
)
def test_the_authority_is_rewritten_through_the_host_header(text: str, rewritten: str) -> None:
    assert authority(headers(text)) == rewritten
