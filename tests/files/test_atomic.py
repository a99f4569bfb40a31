"""Files and folders are there whole or not at all, and nothing else is left beside them."""

from pathlib import Path

import pytest

from epimesh.errors import BadInput
from epimesh.files.atomic import atomic_file, atomic_folder, write_whole


def test_a_file_appears_when_it_is_complete_and_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.json"
    for content in ("one", "two"):
        with atomic_file(path) as unfinished:
            unfinished.write_text(content)
            assert not path.is_file() or path.read_text() != content
        assert path.read_text() == content
    assert list(path.parent.iterdir()) == [path]


def test_what_goes_wrong_leaves_the_old_file_and_nothing_new(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_file(path) as unfinished:
        unfinished.write_text(f"half {1 / 0}")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_takes_the_place_of_another_only_if_that_is_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "unet"
    for number in (1, 2):
        with atomic_folder(folder, replace=True) as unfinished:
            unfinished.mkdir()
            (unfinished / f"{number}.json").write_text("{}")
    assert [path.name for path in folder.iterdir()] == ["2.json"]
    with pytest.raises(OSError, match="unet"), atomic_folder(folder) as unfinished:
        unfinished.mkdir()
    assert list(tmp_path.iterdir()) == [folder]
    assert (folder / "2.json").is_file()


def test_several_files_are_written_together_and_a_folder_in_their_place_is_told(tmp_path: Path) -> None:
    write_whole({tmp_path / "a.obj": b"mesh", tmp_path / "a.mtl": b"material"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mtl", "a.obj"]
    (tmp_path / "b.obj").mkdir()
    with pytest.raises(BadInput, match="there is a folder of that name"):
        write_whole({tmp_path / "b.mtl": b"", tmp_path / "b.obj": b""})
    assert not (tmp_path / "b.mtl").exists()
