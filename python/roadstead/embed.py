"""Building against roadstead from C and Cython: where the header is. See docs: embed.md."""

from __future__ import annotations

from pathlib import Path


def get_include() -> str:
    """The folder of `roadstead.h`, for a compiler's include path."""
    return str(Path(__file__).parent / "include")
