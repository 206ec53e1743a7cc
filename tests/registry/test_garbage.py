"""Garbage in: a clear error each time, the good documents load, nothing crashes and memory stays bounded."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.config.samples import document, full, places, replaced, spec_shape, yaml_text

from roadstead import InputError, Registry
from roadstead.config import KINDS
from roadstead.config.conform import Json

GOOD = b"""apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: good-NUMBER}
spec:
  hosts: [good-NUMBER.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.1}]
"""
FIRST, LAST = GOOD.replace(b"NUMBER", b"1"), GOOD.replace(b"NUMBER", b"2")
LARGE = b"x" * 10_000_000
BOMB = b"a0: &a0 [x, x]\n" + b"".join(
    b"a%d: &a%d [*a%d, *a%d, *a%d, *a%d]\n" % (level, level, level - 1, level - 1, level - 1, level - 1)
    for level in range(1, 30)
)
GARBAGE = {
    "alias bomb": BOMB,
    "alias bomb of merges": b"a: &a {k: v}\n" + b"".join(b"m%d: {<<: [*a, *a, *a]}\n" % n for n in range(5000)) + BOMB,
    "alias of itself": b"a: &a [*a]\n",
    "10 MB name": FIRST.replace(b"good-1.com", LARGE).replace(b"good-1}", b"other}"),
    "10 MB where a number belongs": FIRST.replace(b"number: 80", b"number: " + LARGE).replace(b"good-1}", b"other}"),
    "10 MB of digits": FIRST.replace(b"number: 80", b"number: " + b"9" * len(LARGE)).replace(b"good-1}", b"other}"),
    "10 MB quoted and never closed": b'a: "' + LARGE,
    "deep lists": b"a: " + b"[" * 100_000,
    "deep maps": b"{a: " * 100_000,
    "deep blocks": b"\n".join(b" " * depth + b"a:" for depth in range(2000)),
    "not UTF-8": b"a: \xff\xfe\x80",
    "control characters": b"a: \x00\x01\x1b",
    "an anchor nobody set": b"a: *nobody",
    "a tag": b"!!python/object/apply:os.system ['true']",
    "a list": b"- 1\n- 2\n",
    "a scalar": b"nothing\n",
}


def load(text: bytes, engine: str) -> Registry:
    return Registry.from_text(text, backend=engine, seed=1)


def assert_good(made: Registry) -> None:
    for host in ("good-1.com", "good-2.com"):
        assert made.route(host, 80).pick().address == "10.0.0.1"


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_between_good_documents(name: str, engine_name: str) -> None:
    text = b"---\n".join([FIRST, GARBAGE[name] + b"\n", LAST])
    tracemalloc.start()
    try:
        made = load(text, engine_name)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000_000 + 12 * len(text)
    assert {key.name for key in made.resources} == {"good-1", "good-2"}
    assert_good(made)
    findings = [finding for finding in made.diagnostics if finding.severity != "info"] or list(made.diagnostics)
    assert findings
    for finding in findings:
        assert finding.line > FIRST.count(b"\n")
        assert finding.code
        assert 0 < len(str(finding)) < 2000, "an error is for reading"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_any_bytes_between_good_documents(engine_name: str, data: bytes) -> None:
    """Bytes may hold markers and become several documents; the two around them are documents of their own."""
    made = load(FIRST + b"---\n" + data + b"\n---\n" + LAST, engine_name)
    assert_good(made)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_any_bytes_alone(engine_name: str, data: bytes) -> None:
    try:
        made = load(data, engine_name)
    except InputError:
        return
    assert len(made.resources) == 0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(FIRST) - 1))
def test_a_truncated_text(engine_name: str, length: int) -> None:
    """What was complete loads; the rest is told or, where it happens to be whole without its end, used."""
    text = FIRST + b"---\n" + LAST + b"---\n" + GOOD.replace(b"NUMBER", b"3")[:length]
    made = load(text, engine_name)
    assert_good(made)
    told = any(finding.line > 2 * FIRST.count(b"\n") for finding in made.diagnostics)
    nothing_written = not GOOD[:length].strip()
    assert told or nothing_written or "good-3" in {key.name for key in made.resources}


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_types_at_every_field(kind: str, engine_name: str) -> None:
    """One text with each field of a kind in turn holding what does not belong there: all refused or taken, none lost."""
    wrong: tuple[Json, ...] = ("\x7f", -1, 1.5, True, [[]], {"no": {"such": "field"}}, None)
    base = full(spec_shape(kind))
    bad = [
        yaml_text(document(kind, replaced(base, steps, value)))
        for number, (steps, _) in enumerate(places(spec_shape(kind)))
        for value in (wrong[number % len(wrong)], wrong[(number + 3) % len(wrong)])
    ]
    made = load(b"\n---\n".join([FIRST, *bad, LAST]), engine_name)
    assert_good(made)
    assert any(finding.severity == "error" for finding in made.diagnostics)
    for finding in made.diagnostics:
        assert finding.message
        assert finding.line > 0


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_applied_to_what_runs(name: str, engine_name: str) -> None:
    made = load(FIRST + b"---\n" + LAST, engine_name)
    delta = made.apply(GARBAGE[name])
    assert delta.diagnostics
    assert not delta.hosts
    assert_good(made)
