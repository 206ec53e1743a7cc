"""The one door to the engine: native where its module is there, the fallback where it is absent.

`ROADSTEAD_ENGINE=native|fallback` forces one. A native module that is present but broken is heard: only its absence
selects the fallback.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from types import ModuleType
from typing import Literal

from roadstead.errors import EngineError

Name = Literal["native", "fallback"]

_MODULES: dict[str, str] = {"native": "roadstead._core", "fallback": "roadstead._fallback"}


def _default() -> str:
    forced = os.environ.get("ROADSTEAD_ENGINE", "")
    if forced:
        return forced
    return "native" if importlib.util.find_spec("roadstead._core") is not None else "fallback"


def engine(name: str | None = None) -> ModuleType:
    """The engine's module (its contract is `_core.pyi`). name: "native", "fallback", or None for the default one."""
    wanted = name or BACKEND
    if wanted not in _MODULES:
        raise EngineError(f"no engine named {wanted!r}: use 'native' or 'fallback'")
    return importlib.import_module(_MODULES[wanted])


BACKEND: str = _default()
