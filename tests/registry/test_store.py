"""Resources are kept as bytes and come back as they were."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from tests.registry import universe

from roadstead.config import Source
from roadstead.config.read import read_tree
from roadstead.registry.intake import read_text
from roadstead.registry.store import Resources, Store


@settings(deadline=None)
@given(universe.documents)
def test_what_comes_out_is_what_went_in(document: universe.Document) -> None:
    (resource,) = next(iter(read_text(universe.as_json(document), "f", "extended"))).resources
    store = Store()
    store.put(resource)
    for _ in range(300):
        store.put(read_tree(universe.OTHER).resources[0])
    assert store.load(resource.key) == resource
    assert resource.key in Resources(store)
    assert store.pop(resource.key) == resource
    assert store.get(resource.key) is None
    assert store.pop(resource.key) is None


def test_a_text_is_found_again_only_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"one")
    store = Store()
    source = Source(str(path))
    assert store.text_of(source) is None
    store.saw(str(path), b"one")
    assert store.text_of(source) == b"one"
    path.write_bytes(b"two")
    assert store.text_of(source) is None
    path.unlink()
    assert store.text_of(source) is None
