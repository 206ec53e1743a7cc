"""The golden corpus, asked from C through a serialised snapshot and from Cython through the capsule."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.core import corpus
from tests.embed.conftest import Build, run

from roadstead import _lowered as low
from roadstead import core
from roadstead.registry.frozen import snapshot_bytes

ASKED = {"find", "route", "connect"}
# Exchanges are not in the interface yet; their files ask nothing else.
FILES = [
    path
    for path in sorted(corpus.FOLDER.glob("*.json"))
    if all(ASKED.issuperset(case["asked"]) for case in json.loads(path.read_text())["cases"])
]
EACH = pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
ROUTE = ("path", "method", "scheme", "source_ip")


def field(value: object) -> bytes:
    if value is None:
        return b"-1:"
    data = str(value).encode()
    return b"%d:%s" % (len(data), data)


def arguments(asked: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    ((verb, given),) = asked.items()
    return verb, {"host": given[0], "port": given[1]} if verb == "find" else given


def question(asked: dict[str, Any]) -> bytes:
    """As corpus.c reads it."""
    verb, given = arguments(asked)
    original = given.get("original_destination") or (None, 0)
    headers = given.get("headers") or []
    fields = [verb, given["host"], given.get("port"), *[given.get(name) for name in ROUTE], given.get("sni"), *original]
    fields += [given.get("draw", 0), len(headers), *[text for line in headers for text in line]]
    return b"".join(field(one) for one in fields)


def units_of(file: dict[str, Any]) -> list[low.Unit]:
    """Some chains of the corpus have a name for a handle."""
    units = [corpus.from_json(low.Unit, one) for one in file["units"]]
    return [unit._replace(chains=tuple([chain._replace(handle=None) for chain in unit.chains])) for unit in units]


def frozen(file: dict[str, Any]) -> bytes:
    return snapshot_bytes(units_of(file), lambda _: None, outbound=file["outbound"])


@EACH
@pytest.mark.parametrize("sanitized", [False, True], ids=["plain", "sanitized"])
def test_from_c(path: Path, sanitized: bool, program: Build, tmp_path: Path) -> None:
    file = json.loads(path.read_text())
    assert file["seed"] == 0
    snapshot = tmp_path / "snapshot"
    snapshot.write_bytes(frozen(file))
    asked = b"".join(question(case["asked"]) for case in file["cases"])
    told = run(program("corpus.c", sanitized=sanitized), snapshot, stdin=asked)
    assert [json.loads(line) for line in told.splitlines()] == [case["answer"] for case in file["cases"]]


@EACH
def test_from_cython(path: Path, asking: ModuleType) -> None:
    file = json.loads(path.read_text())
    asker = asking.Asking(corpus.engine_of(core.engine("native"), file))
    for case in file["cases"]:
        verb, given = arguments(case["asked"])
        texts = {name: value.encode() if isinstance(value, str) else value for name, value in given.items()}
        if verb == "find":
            assert asker.find(texts["host"], texts["port"]) == case["answer"]
            continue
        original = given.get("original_destination") or (None, 0)
        headers = [(name.encode(), value.encode()) for name, value in given.get("headers") or []]
        answer = asker.decide(
            verb == "connect", texts["host"], texts.get("port") or 0, *[texts.get(name) for name in ROUTE], texts.get("sni"),
            original[0] and original[0].encode(), original[1], given.get("draw", 0), headers, corpus.PICKS,
        )  # fmt: skip
        assert answer.pop("timeout") == -1.0
        assert answer == case["answer"], case["asked"]


def test_a_snapshot_is_the_corpus_in_its_own_form() -> None:
    for path in FILES:
        file = json.loads(path.read_text())
        made = json.loads(frozen(file))
        assert made.pop("units") == corpus.to_json(units_of(file))
        head = {"format": 1, "outbound": file["outbound"], "egress_cluster": "", "paths": low.NORMALIZE}
        assert made == head | {"passthrough": None, "dynamic": None}
