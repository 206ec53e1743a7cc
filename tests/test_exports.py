"""Public names: sorted, all there, and none of them costs anything before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import roadstead


def test_names_are_sorted_and_there() -> None:
    assert roadstead.__all__ == sorted(set(roadstead.__all__))
    for name in roadstead.__all__:
        assert getattr(roadstead, name) is getattr(roadstead, name)
    assert set(roadstead.__all__) <= set(dir(roadstead))


def test_other_names_are_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        roadstead.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import roadstead", "msgspec yaml roadstead.registry roadstead.config roadstead.core roadstead._fallback"),
        ("from roadstead import Registry", "yaml click rich asyncio roadstead.cli"),
        ("import roadstead.registry.registry", "roadstead._core roadstead._fallback"),
    ],
)
def test_nothing_is_imported_before_it_is_used(code: str, absent: str) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert set(loaded.stdout.split()) & set(absent.split()) == set()
