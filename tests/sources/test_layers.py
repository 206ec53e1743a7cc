"""Several sources, one above another."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.sources.collecting import Sink, entry

from roadstead.config import ResourceKey
from roadstead.config.decode import Decoded
from roadstead.config.read import read
from roadstead.sources import Layers

BAD_PORT = entry("a", "new").replace("number: 80", "number: 80000")
BROKEN = "kind: {"


def docs(*texts: str) -> list[Decoded]:
    return [decoded for text in texts for decoded in read(text.encode(), "mesh.yaml", "istio")]


def key(name: str) -> ResourceKey:
    return ResourceKey("ServiceEntry", "default", name)


async def test_the_last_source_counts_and_gives_back_what_it_hid() -> None:
    sink = Sink()
    layers = Layers(sink, "istio")
    low, high = layers.layer("low"), layers.layer("high")
    await low.replace({"f": docs(entry("a", "low"), entry("b"))})
    await high.replace({"g": docs(entry("a", "high"))})
    assert sink.hosts() == {"a": "high", "b": "b"}
    assert (layers.source_of(key("a")), layers.source_of(key("b"))) == ("high", "low")
    await low.replace({"f": docs(entry("a", "lower"), entry("b"))})
    assert sink.hosts()["a"] == "high"
    await high.replace({})
    assert sink.hosts() == {"a": "lower", "b": "b"}
    await low.replace({})
    assert sink.hosts() == {}
    assert layers.source_of(key("a")) is None


async def test_what_is_refused_keeps_its_previous_version() -> None:
    sink = Sink()
    layers = Layers(sink, "istio")
    layer = layers.layer("only")
    await layer.replace({"f": docs(entry("a", "old"), entry("b"))})
    await layer.replace({"f": docs(BAD_PORT)})
    assert sink.hosts() == {"a": "old"}
    [status] = layers.status()
    assert [finding.severity for finding in status.findings] == ["error"]
    assert status.findings[0].line
    assert [finding.code for finding in sink.registry.diagnostics] == [status.findings[0].code]
    await layer.replace({"f": docs(entry("a", "fresh"))})
    assert (sink.hosts(), sink.registry.diagnostics) == ({"a": "fresh"}, ())


async def test_half_a_file_takes_nothing_away() -> None:
    sink = Sink()
    layer = Layers(sink, "istio").layer("only")
    await layer.replace({"f": docs(entry("a"), entry("b")), "g": docs(entry("c"))})
    await layer.update({"f": docs(entry("a", "new"), BROKEN)})
    assert sink.hosts() == {"a": "new", "b": "b", "c": "c"}
    await layer.update({"f": docs(entry("a", "new"))})
    assert sink.hosts() == {"a": "new", "c": "c"}
    await layer.update({"f": None})
    assert sink.hosts() == {"c": "c"}


async def test_a_resource_that_moves_between_pieces_is_never_away() -> None:
    sink = Sink()
    layer = Layers(sink, "istio").layer("only")
    await layer.replace({"f": docs(entry("a"))})
    await layer.replace({"g": docs(entry("a", "moved"))})
    assert (sink.hosts(), sink.applied) == ({"a": "moved"}, 2)


async def test_of_two_pieces_the_last_counts_and_gives_back_what_it_hid() -> None:
    """Whichever came first, and whichever changed last."""
    sink = Sink()
    layer = Layers(sink, "istio").layer("only")
    await layer.update({"g": docs(entry("a", "g"))})
    await layer.update({"f": docs(entry("a", "f"), entry("b", "f"))})
    assert sink.hosts() == {"a": "g", "b": "f"}
    await layer.update({"f": docs(entry("a", "f2"), entry("b", "f"))})
    assert sink.hosts()["a"] == "g"
    await layer.update({"g": None})
    assert sink.hosts() == {"a": "f2", "b": "f"}
    await layer.update({"g": docs(entry("b", "g")), "h": docs(entry("b", "h"))})
    assert sink.hosts() == {"a": "f2", "b": "h"}
    # A source may say in which order its pieces are.
    await layer.update({"h": docs(entry("b", "h2"))}, ["h", "g", "f"])
    assert sink.hosts() == {"a": "f2", "b": "f"}


async def test_a_version_that_is_refused_still_hides_what_is_below() -> None:
    sink = Sink()
    layer = Layers(sink, "istio").layer("only")
    await layer.update({"f": docs(entry("a", "f")), "g": docs(entry("a", "g"))})
    await layer.update({"g": docs(BAD_PORT)})
    await layer.update({"f": docs(entry("a", "f2"))})
    assert sink.hosts() == {"a": "g"}
    await layer.update({"g": docs()})
    assert sink.hosts() == {"a": "f2"}


async def test_the_last_document_of_a_piece_counts() -> None:
    sink = Sink()
    layer = Layers(sink, "istio").layer("only")
    await layer.update({"f": docs(entry("a", "first"), entry("a", "last"))})
    assert sink.hosts() == {"a": "last"}


NAMES = st.sampled_from("abc")
STEP = st.tuples(
    st.integers(0, 2), st.sampled_from("fgh"), st.dictionaries(NAMES, st.integers(0, 3), max_size=3) | st.none()
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEP, max_size=12))
async def test_in_force_is_the_last_piece_of_the_last_source_that_has_it(
    steps: list[tuple[int, str, dict[str, int] | None]],
) -> None:
    sink = Sink()
    layers = Layers(sink, "istio")
    known = [layers.layer(str(level)) for level in range(3)]
    held: list[dict[str, dict[str, str]]] = [{}, {}, {}]
    for level, piece, content in steps:
        named = {name: f"{name}{version}-{level}{piece}" for name, version in (content or {}).items()}
        held[level][piece] = named
        put = None if content is None else docs(*[entry(name, host) for name, host in named.items()])
        await known[level].update({piece: put})
        expected: dict[str, str] = {}
        for number, layer in enumerate(held):
            for name, one in sorted(layer.items()):
                expected.update(one)
                assert len(known[number].held(name)) == len(one)
        assert sink.hosts() == expected
