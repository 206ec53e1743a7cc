"""The golden corpus on both engines."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
from tests.core import corpus

from roadstead import _lowered as low

FILES = sorted(corpus.FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_golden(engine: ModuleType, path: Path) -> None:
    file = json.loads(path.read_text())
    eng = corpus.engine_of(engine, file)
    for case in file["cases"]:
        assert corpus.answer(eng, case["asked"]) == case["answer"], case["asked"]


def test_the_files_are_those_of_the_recipe() -> None:
    recorded = {
        name: corpus.text_of(corpus.record(about, units, asked)) for name, about, units, asked in corpus.inputs()
    }
    assert {path.stem: path.read_text() for path in FILES} == recorded


def test_columns_survive_json() -> None:
    for _, _, units, _ in corpus.inputs():
        for one in units:
            again = corpus.from_json(low.Unit, json.loads(json.dumps(corpus.to_json(one))))
            assert corpus.to_json(again) == corpus.to_json(one)
            assert type(again) is type(one)
