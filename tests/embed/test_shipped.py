"""What is shipped: header, declarations for Cython, and a module that exports nothing but its own entry."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import roadstead
from roadstead import core
from roadstead.registry import frozen

HEADER = Path(roadstead.get_include(), "roadstead.h").read_text(encoding="utf-8")
DECLARED = Path(roadstead.__file__).with_name("capi.pxd").read_text(encoding="utf-8")


def members(text: str, struct: str, end: str) -> list[str]:
    """Names of a struct's members in order; of functions the pointer's name."""
    body = re.sub(r"//.*", "", text.split(f"typedef struct {struct} ", 1)[1].split(end, 1)[0])
    return re.findall(r"(?:\(\*|[ *])(\w+)(?:\[\d+\])?(?:;|\)\()", body)


def structs() -> list[str]:
    return re.findall(r"typedef struct (\w+) \{", HEADER)


def test_cython_knows_every_struct_and_function() -> None:
    assert "roadstead_api" in structs()
    for struct in structs():
        expected = members(HEADER, struct, f"}} {struct};")
        given = DECLARED.split(f"ctypedef struct {struct}:\n", 1)[1].split("\n\n", 1)[0]
        names = re.findall(r"^ {8}\w[\w *]*?(?:\(\*(\w+)\)|[ *](\w+)(?:\[\d+\])?$)", given, re.M)
        assert [function or field for function, field in names] == expected, struct


def test_cython_knows_every_constant() -> None:
    known = set(re.findall(r"\bROADSTEAD_\w+", DECLARED))
    for name in re.findall(r"^(?:#define |  )(ROADSTEAD_\w+)(?: = \d+,| \d+$)", HEADER, re.M):
        assert name in known | {"ROADSTEAD_SNAPSHOT_FORMAT"}


def test_every_name_is_described() -> None:
    lines = HEADER.splitlines()
    public = [
        at
        for at, line in enumerate(lines)
        if re.match(r"(?:\S.* \*?|)roadstead_\w+\(|typedef (?:struct|enum) \w+|#define ROADSTEAD_\w+ \d", line)
    ]
    assert len(public) > 50
    assert [lines[at] for at in public if not lines[at - 1].lstrip().startswith("//")] == []


def test_python_writes_the_format_that_c_reads() -> None:
    assert f"#define ROADSTEAD_SNAPSHOT_FORMAT {frozen.FORMAT}\n" in HEADER


def test_the_module_exports_its_entry_alone() -> None:
    module = core.engine("native").__file__
    assert module is not None
    told = subprocess.run(["nm", "-D", "--defined-only", module], check=True, capture_output=True, text=True).stdout
    names = {line.split()[-1] for line in told.splitlines()}
    assert not [name for name in names if name.startswith("roadstead_")]
    assert "PyInit__core" in names
