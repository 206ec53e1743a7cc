"""What the tests here build: libroadstead by cargo, programs by the C compiler, a module by Cython, all against what the
installed package ships."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import roadstead

HERE = Path(__file__).parent
WORKSPACE = HERE.parents[1] / "native" / "Cargo.toml"
# What the Rust standard library needs of the system (rustc --print native-static-libs).
SYSTEM = ["-lpthread", "-lm", "-ldl"] if sys.platform != "darwin" else ["-framework", "CoreFoundation"]
WARNINGS = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-pedantic", "-Werror", "-g"]
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

# Programs without sanitizers run under it where it is asked for: it sees what is read before it is written, too.
VALGRIND = [
    "valgrind",
    "-q",
    "--error-exitcode=99",
    "--leak-check=full",
    "--errors-for-leak-kinds=definite,indirect,possible",
]

Words = tuple[str | Path, ...]
Build = Callable[..., Words]


def run(*words: str | Path, stdin: bytes = b"") -> bytes:
    """The output of a program that must succeed."""
    done = subprocess.run(words, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout.decode()}\n{done.stderr.decode()}"
    return done.stdout


@pytest.fixture(scope="session")
def library() -> Path:
    """The static library. The profile with checks of arithmetic, so that what overflows is found."""
    told = run(
        "cargo", "build", "--locked", "--message-format=json", "--manifest-path", WORKSPACE, "-p", "roadstead-capi"
    )
    messages = [json.loads(line) for line in told.splitlines()]
    files = [name for message in messages for name in message.get("filenames", ())]
    return next(Path(name) for name in files if Path(name).name == "libroadstead.a")


@pytest.fixture(scope="session")
def program(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compiles a C file of this folder (or another) and links it, once; the words that run it. sanitized: with checks of memory.
    With ROADSTEAD_VALGRIND set the others run under valgrind."""
    folder = tmp_path_factory.mktemp("programs")

    @functools.cache
    def build(name: str | Path, *, sanitized: bool = False) -> Words:
        source = HERE / name
        made = folder / f"{source.stem}{'-sanitized' if sanitized else ''}"
        flags = WARNINGS + (SANITIZED if sanitized else ["-O2"])
        run(os.environ.get("CC", "cc"), *flags, "-I", roadstead.get_include(), "-o", made, source, library, *SYSTEM)
        return (*VALGRIND, made) if os.environ.get("ROADSTEAD_VALGRIND") and not sanitized else (made,)

    return build


def module(name: str, source: Path, folder: Path) -> ModuleType:
    """A Cython file, built as any package would build it: with setuptools, in a process of its own."""
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.fail("the C headers of this Python are needed to build an extension (Debian: python3-dev)")
    (folder / f"{name}.pyx").write_bytes(source.read_bytes())
    (folder / "setup.py").write_text(
        "import roadstead\n"
        "from Cython.Build import cythonize\n"
        "from setuptools import Extension, setup\n"
        f"extension = Extension({name!r}, [{name + '.pyx'!r}], include_dirs=[roadstead.get_include()])\n"
        f"setup(name={name!r}, ext_modules=cythonize([extension]))\n"
    )
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob(f"{name}.*{sysconfig.get_config_var('SHLIB_SUFFIX')}")
    spec = importlib.util.spec_from_file_location(name, built)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="session")
def asking(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """asking.pyx."""
    return module("asking", HERE / "asking.pyx", tmp_path_factory.mktemp("asking"))
