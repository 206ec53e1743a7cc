"""Paths → texts."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from roadstead.config.files import Text, read


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in [
        "b.yaml",
        "a.yml",
        "c.json",
        "README.md",
        "noise",
        ".hidden.yaml",
        "z/a.yaml",
        "d/e/f.yaml",
        "d/b.YAML",
        "..data/a.yaml",
        "empty/x.txt",
    ]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def names(texts: list[Text], below: Path) -> list[str]:
    return [Path(text.name).relative_to(below).as_posix() for text in texts]


def test_a_folder_gives_its_yaml_and_json_in_order_of_name(tree: Path) -> None:
    texts = list(read([tree]))
    assert names(texts, tree) == ["a.yml", "b.yaml", "c.json", "d/e/f.yaml", "z/a.yaml"]
    assert [text.data for text in texts] == [name.encode() for name in names(texts, tree)]


def test_a_file_that_is_named_is_read_whatever_it_is_called(tree: Path) -> None:
    texts = list(read([str(tree / "noise"), tree / ".hidden.yaml", tree / "noise"]))
    assert names(texts, tree) == ["noise", ".hidden.yaml", "noise"]


def test_bytes_come_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: \xff\r\n")
    assert list(read([path])) == [Text(str(path), b"\xef\xbb\xbfa: \xff\r\n")]


def test_a_dash_is_standard_input(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a: 1\n")))
    texts = list(read([tree / "noise", "-"]))
    assert texts[1] == Text("<stdin>", b"a: 1\n")


def test_a_missing_path_is_said_before_anything_is_read(tree: Path) -> None:
    missing = str(tree / "nobody.yaml")
    with pytest.raises(FileNotFoundError) as caught:
        next(read([tree / "noise", missing]))
    assert caught.value.filename == missing


def test_what_cannot_be_read_is_an_os_error_with_the_path(tree: Path) -> None:
    loop = tree / "loop.yaml"
    loop.symlink_to(loop)
    with pytest.raises(OSError) as caught:
        list(read([loop]))
    assert not isinstance(caught.value, FileNotFoundError)
    assert caught.value.filename == str(loop)


def test_links_to_files_are_followed_and_links_to_folders_are_not(tree: Path) -> None:
    mounted = tree / "mounted"
    mounted.mkdir()
    (mounted / "a.yaml").symlink_to(tree / "..data" / "a.yaml")
    (mounted / "round").symlink_to(tree)
    assert names(list(read([mounted])), tree) == ["mounted/a.yaml"]
    assert names(list(read([mounted / "round" / "z"])), mounted / "round") == ["z/a.yaml"]


def test_nothing_gives_nothing(tree: Path) -> None:
    assert list(read([])) == []
    assert list(read([tree / "empty"])) == []
