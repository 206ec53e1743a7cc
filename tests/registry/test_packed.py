"""Packed bytes are a mapping, whatever was put, replaced and taken away."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from roadstead.registry.packed import Packed


class Model(RuleBasedStateMachine):
    """Beside a dict. Numbers are few, so that blocks are filled, emptied and taken apart."""

    def __init__(self) -> None:
        super().__init__()
        self.packed: Packed[int] = Packed()
        self.model: dict[int, bytes] = {}

    @rule(first=st.integers(0, 200), count=st.integers(1, 120), text=st.binary(max_size=8))
    def put(self, first: int, count: int, text: bytes) -> None:
        for key in range(first, first + count):
            self.packed.put(key, text + b"%d" % key)
            self.model[key] = text + b"%d" % key

    @rule(first=st.integers(0, 200), step=st.integers(1, 5))
    def pop(self, first: int, step: int) -> None:
        for key in range(first, 320, step):
            if key in self.model:
                self.packed.pop(key)
                del self.model[key]

    @rule()
    def rest(self) -> None:
        self.packed.rest()

    @invariant()
    def equals(self) -> None:
        assert list(self.packed) == list(self.model)
        assert len(self.packed) == len(self.model)
        assert {key: self.packed.get(key) for key in self.packed} == self.model


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


@given(st.lists(st.integers(0, 3)))
def test_what_is_not_there_is_not_there(keys: list[int]) -> None:
    packed: Packed[int] = Packed()
    for key in keys:
        packed.put(key, b"")
    for key in set(range(5)) - set(keys):
        assert key not in packed
        for ask in (packed.get, packed.pop):
            with pytest.raises(KeyError):
                ask(key)


def test_like_texts_take_little_room() -> None:
    packed: Packed[int] = Packed()
    text = bytes(range(256)) * 4
    for key in range(3200):
        packed.put(key, text + b"%d" % key)
    held = sum(len(block) for _, block in packed._blocks.values()) + sum(map(len, packed._fresh.values()))
    assert held < 3200 * len(text) / 10
