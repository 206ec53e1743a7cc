"""Real files that change while they are followed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.sources.collecting import entry, following, hosts_of

from roadstead import Registry
from roadstead.sources.files import Files


async def test_files_come_change_and_go(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(entry("a"))
    (tmp_path / "notes.txt").write_text("not read")
    async with following(Files(tmp_path)) as (sink, layers):
        await sink.has(a="a")
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "b.yml").write_text(entry("b"))
        await sink.has(a="a", b="b")
        (tmp_path / "a.yaml").write_text(entry("a", "other"))
        await sink.has(a="other", b="b")
        (tmp_path / "a.yaml").unlink()
        await sink.has(b="b")
        [status] = layers.status()
        assert (status.name, status.loaded, status.error, status.pieces) == (str(tmp_path), True, "", 1)


async def test_links_that_are_swapped_at_once(tmp_path: Path) -> None:
    """A ConfigMap's volume: files are links through `..data`, which is a link to the version in force."""
    for version in ("1", "2"):
        (tmp_path / f"..v{version}").mkdir()
        (tmp_path / f"..v{version}" / "mesh.yaml").write_text(entry("a", f"v{version}") + entry("b", f"v{version}"))
    (tmp_path / "..data").symlink_to("..v1")
    (tmp_path / "mesh.yaml").symlink_to("..data/mesh.yaml")
    async with following(Files(tmp_path)) as (sink, _):
        await sink.has(a="v1", b="v1")
        (tmp_path / "..data_tmp").symlink_to("..v2")
        os.replace(tmp_path / "..data_tmp", tmp_path / "..data")  # noqa: PTH105 - what the kubelet does
        await sink.has(a="v2", b="v2")
        assert sink.applied == 2


async def test_a_file_that_is_half_written(tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text(entry("a") + entry("b"))
    async with following(Files(path)) as (sink, layers):
        await sink.has(a="a", b="b")
        path.write_text(entry("a", "new") + "kind: ServiceEntry\nmetadata: {na")
        await sink.has(a="new", b="b")
        [status] = layers.status()
        assert [finding.code for finding in status.findings] == ["DOC-1"]
        path.write_text(entry("a", "new") + entry("b", "new"))
        await sink.has(a="new", b="new")


async def test_what_is_followed_is_what_would_be_loaded(tmp_path: Path) -> None:
    """One resource in several files: the last in order of loading counts, files of a folder before folders in it."""
    (tmp_path / "a").mkdir()
    places = [tmp_path / "a" / "x.yaml", tmp_path / "b.yaml", tmp_path / "c.yaml", tmp_path / "a" / "y.yaml"]
    async with following(Files(tmp_path)) as (sink, _):
        for number, place in enumerate(places):
            place.write_text(entry("a", f"v{number}") + entry(f"own-{number}"))
            await sink.until(lambda number=number: f"own-{number}" in sink.hosts())
            assert sink.hosts()["a"] == hosts_of(Registry.from_files(tmp_path).resources)["a"]
        assert sink.hosts()["a"] == "v3"
        for number, left in ((3, "v0"), (0, "v2"), (2, "v1")):
            places[number].unlink()
            await sink.until(lambda number=number: f"own-{number}" not in sink.hosts())
            assert sink.hosts()["a"] == hosts_of(Registry.from_files(tmp_path).resources)["a"] == left


WHOLE = entry("a", "new") + entry("b", "new")


@pytest.mark.parametrize("cut", [0, 1, WHOLE.index("kind: Serv") + 9, WHOLE.index("---") + 4, len(WHOLE) - 40])
async def test_a_file_that_is_being_written(cut: int, tmp_path: Path) -> None:
    """Looked at while it is written, empty or up to any point, it takes nothing away."""
    path = tmp_path / "mesh.yaml"
    path.write_text(entry("a") + entry("b"))
    async with following(Files(tmp_path)) as (sink, _):
        await sink.has(a="a", b="b")
        with path.open("w") as file:
            file.write(WHOLE[:cut])
            file.flush()
            # Whoever sees this one has looked.
            (tmp_path / "next.yaml").write_text(entry("c"))
            await sink.has(a="a", b="b", c="c")
            file.write(WHOLE[cut:])
        await sink.has(a="new", b="new", c="c")


async def test_a_file_that_stays_empty_has_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text(entry("a") + entry("b"))
    async with following(Files(tmp_path)) as (sink, _):
        await sink.has(a="a", b="b")
        path.write_text("")
        await sink.has()


async def test_a_path_that_goes_and_comes_back(tmp_path: Path) -> None:
    folder, path = tmp_path / "mesh", tmp_path / "mesh" / "a.yaml"
    folder.mkdir()
    path.write_text(entry("a"))
    async with following(Files(path), Files(tmp_path / "more")) as (sink, layers):
        await sink.has(a="a")
        path.rename(tmp_path / "moved")
        (tmp_path / "more").mkdir()
        (tmp_path / "more" / "b.json").write_text(
            '{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "b"},'
            ' "spec": {"hosts": ["b.test"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}]}}'
        )
        await sink.has(a="a", b="b")
        path.write_text(entry("a", "back"))
        await sink.has(a="back", b="b")
        # Told a moment after the change is visible.
        await sink.until(lambda: [status.error for status in layers.status()] == ["", ""])
