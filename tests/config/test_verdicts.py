"""Istio's own verdicts on documents that break its rules one by one, and on ones that only look as if they did.

data/verdicts: documents, and for each whether it reaches istiod's routing tables: its decoding, its validation and the
schema of the Kubernetes resource all let it pass. Unknown fields alone do not stop one.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from roadstead.config.read import read

VERDICTS = Path(__file__).parent / "data" / "verdicts"


class Verdict(msgspec.Struct):
    kind: str
    name: str
    accepted: bool
    unknown_fields: bool


@pytest.mark.parametrize("path", sorted(VERDICTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_dialect_istio_gives_istios_verdict(path: Path) -> None:
    wanted = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=list[Verdict])
    found = list(read(path.read_bytes(), path.name, "istio"))
    assert len(found) == len(wanted)
    for one, verdict in zip(found, wanted, strict=True):
        assert bool(one.resources) is verdict.accepted, (verdict, [str(finding) for finding in one.findings])


@pytest.mark.parametrize("path", sorted(VERDICTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_extended_accepts_what_istio_accepts(path: Path) -> None:
    wanted = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=list[Verdict])
    for one, verdict in zip(read(path.read_bytes(), path.name, "extended"), wanted, strict=True):
        if verdict.accepted and not verdict.unknown_fields:
            assert one.resources, (verdict, [str(finding) for finding in one.findings])
