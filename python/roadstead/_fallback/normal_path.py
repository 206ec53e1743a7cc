"""Paths as they are before anything looks at them (Envoy: normalize_path and its neighbours).

The query is left alone. Escapes of what needs none are decoded, `\\` is `/`, dot segments go; `%2f` stays unless the
mode decodes it. A run of slashes stays unless the mode merges it, or, at the beginning, where dot segments go.
"""

from __future__ import annotations

import re

from roadstead import _lowered as low

# What may need more than being looked at.
_ODD = re.compile(r"%|\\|/\.|//")
_UNRESERVED = re.compile(r"%(?:2[dDeE]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aAeE])")
_SLASHES = re.compile(r"%(?:2[fF]|5[cC])")
_RUN = re.compile(r"//+")


def normal_path(path: str, mode: int) -> str:
    """The path under one of KEEP_PATH, NORMALIZE, MERGE_SLASHES, DECODE_SLASHES."""
    if mode == low.KEEP_PATH or _ODD.search(path) is None or not path.startswith("/"):
        return path
    plain, mark, query = path.partition("?")
    if mode == low.DECODE_SLASHES:
        plain = _SLASHES.sub("/", plain)
    plain = _UNRESERVED.sub(_decoded, plain).replace("\\", "/")
    if "/." in plain:
        plain = _without_dots(plain)
    if mode != low.NORMALIZE:
        plain = _RUN.sub("/", plain)
    return plain + mark + query


def _decoded(escape: re.Match[str]) -> str:
    return chr(int(escape[0][1:], 16))


def _without_dots(path: str) -> str:
    """Segments `.` and `..` resolved; the path as it is where there are none."""
    segments = path.split("/")[1:]
    if "." not in segments and ".." not in segments:
        return path
    while len(segments) > 1 and not segments[0]:
        del segments[0]
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
