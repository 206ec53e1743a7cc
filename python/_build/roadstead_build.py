"""PEP 517 backend: maturin builds the wheel with the native engine; with ROADSTEAD_PURE=1 setuptools builds py3-none-any.

The choice is never made silently: without Rust the build stops and says how to get either wheel.
"""

from __future__ import annotations

import importlib
import os
import shutil
from types import ModuleType

PURE = os.environ.get("ROADSTEAD_PURE", "") not in ("", "0")
_NEEDS = ["setuptools>=77", "wheel"] if PURE else ["maturin>=1.9,<2"]

Settings = dict[str, str | list[str]] | None


def _backend() -> ModuleType:
    if PURE:
        return importlib.import_module("setuptools.build_meta")
    if shutil.which("cargo") is None:
        raise SystemExit(
            "roadstead: cargo is not on PATH, so the native engine cannot be built.\n"
            "Install Rust (https://rustup.rs), or set ROADSTEAD_PURE=1 to build the pure-Python wheel, "
            "which decides the same but more slowly."
        )
    return importlib.import_module("maturin")


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    return _NEEDS


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    return _NEEDS


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    return _NEEDS


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Settings = None) -> str:
    return _backend().prepare_metadata_for_build_wheel(metadata_directory, config_settings)


def prepare_metadata_for_build_editable(metadata_directory: str, config_settings: Settings = None) -> str:
    return _backend().prepare_metadata_for_build_editable(metadata_directory, config_settings)


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    return _backend().build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    return _backend().build_editable(wheel_directory, config_settings, metadata_directory)


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    return _backend().build_sdist(sdist_directory, config_settings)
