"""Lines of a stream, whatever the chunks."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadstead.sources.kubernetes.objects import Lines, Meta, TooLarge, meta_of


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b""))), st.lists(st.integers(1, 9)))
def test_lines_do_not_depend_on_chunks(written: list[bytes], sizes: list[int]) -> None:
    text = b"".join(line + b"\n" for line in written)
    lines, read = Lines(100), []
    for size in sizes:
        read += lines.feed(text[:size])
        text = text[size:]
    read += lines.feed(text)
    assert read == [line for line in written if line.strip()]


def test_what_has_no_end_is_no_line() -> None:
    lines = Lines(100)
    assert list(lines.feed(b'{"half"')) == []
    assert list(lines.feed(b": 1}\n{")) == [b'{"half": 1}']


def test_a_line_is_not_kept_beyond_the_limit() -> None:
    lines = Lines(10)
    assert list(lines.feed(b"0123456789\n01234")) == [b"0123456789"]
    with pytest.raises(TooLarge, match="more than 10 bytes"):
        list(lines.feed(b"567890"))


@pytest.mark.parametrize("raw", [b"[]", b"{}", b'{"metadata": 7}', b'{"metadata": {"name": 7}}', b'"x"'])
def test_metadata_that_cannot_be_read_is_for_decoding_to_refuse(raw: bytes) -> None:
    assert meta_of(raw) == Meta()
