"""Every document of every case is kept or refused as Istio does it: its decoding, its validation, and the schema of the
Kubernetes resource."""

from __future__ import annotations

import pytest
from tests.golden.recorded import CASES, case_of, text_of

from roadstead.config.read import read


@pytest.mark.parametrize("name", CASES)
def test_dialect_istio_keeps_what_istio_keeps(name: str) -> None:
    case = case_of(text_of(name))
    found = list(read(case.config.encode(), f"{name}.yaml", "istio"))
    assert len(found) == len(case.verdicts)
    wrong = [
        (verdict, [str(finding) for finding in one.findings])
        for one, verdict in zip(found, case.verdicts, strict=True)
        if bool(one.resources) is not verdict.kept
    ]
    assert not wrong


@pytest.mark.parametrize("name", CASES)
def test_dialect_extended_keeps_it_too(name: str) -> None:
    """But for unknown fields, which it refuses."""
    case = case_of(text_of(name))
    for one, verdict in zip(read(case.config.encode(), f"{name}.yaml"), case.verdicts, strict=True):
        if verdict.kept and not verdict.unknown_fields:
            assert one.resources, (verdict, [str(finding) for finding in one.findings])
