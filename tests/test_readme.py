"""What the README says is so: its Python works, its command lines run, and there are two commands to set up and test."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def test_two_commands_set_up_and_test() -> None:
    setup, test = blocks("sh")
    assert "pip install" in setup
    assert "pytest" in test


def test_the_python_does_what_its_comments_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = blocks("python")
    (tmp_path / "mesh").symlink_to(ROOT / "python" / "examples" / "guide")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(program, "README.md", "exec"), names)
    for line in program.splitlines():
        found = re.match(r"(decision\.\w+)\s+# (.+)", line)
        if found and "…" not in found[2]:
            assert eval(found[1], names) == eval(found[2])


@pytest.mark.parametrize("line", [line[2:] for block in blocks("console") for line in block.splitlines()])
def test_command_lines_run(line: str, tmp_path: Path) -> None:
    (tmp_path / "mesh").symlink_to(ROOT / "python" / "examples" / "guide")
    words = shlex.split(line)
    assert words[0] == "roadstead"
    if words[1] == "bench":
        words += ["--seconds", "0.05"]
    done = subprocess.run(
        [sys.executable, "-m", "roadstead.cli", *words[1:]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_quick_start_runs() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "python" / "examples" / "quickstart.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "forward outbound|80||httpbin.org 10.0" in done.stdout
    assert "outbound|443|eu-region|cdn.example.com cdn-eu.example.com 443 TLS by the caller: True" in done.stdout
    assert done.stdout.splitlines()[-1] == "2.0"
