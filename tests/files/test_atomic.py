"""Files and folders appear whole or not at all, and what was there before is never damaged."""

import errno
from pathlib import Path

import pytest
from safetensors import SafetensorError

from epimesh.errors import BadInput, StageFailed
from epimesh.files.atomic import atomic_file, atomic_folder, write_whole

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("error", [FULL, SafetensorError("No space left on device")], ids=["disk", "safetensors"])
def test_a_full_disk_leaves_the_old_file_and_no_stub(tmp_path: Path, error: Exception) -> None:
    (tmp_path / "run.json").write_text("old")

    def write() -> None:
        with atomic_file(tmp_path / "run.json") as path:
            path.write_text("half")
            raise error

    with pytest.raises(BadInput, match=r"run.json cannot be written .*No space left"):
        write()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("run.json", "old")]


def test_a_folder_in_the_place_of_a_file_is_named_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "views.png").mkdir()

    def write() -> None:
        with atomic_file(tmp_path / "views.png") as path:
            path.write_text("picture")

    with pytest.raises(BadInput, match=r"views.png cannot be written"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["views.png"]


def test_a_folder_that_another_run_made_meanwhile_stays(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "1-read") as unfinished:
        unfinished.mkdir()
        (unfinished / "mine").touch()
        (tmp_path / "1-read").mkdir()
        (tmp_path / "1-read" / "theirs").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["1-read", "theirs"]


def test_errors_of_this_project_pass_unchanged(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_file(tmp_path / "file"):
            raise StageFailed("empty")

    with pytest.raises(StageFailed, match="empty"):
        write()
    assert not list(tmp_path.iterdir())


def test_the_suffix_stays_so_that_writers_know_the_format(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "cutout.png") as path:
        assert path.suffix == ".png"
        path.touch()
    assert (tmp_path / "cutout.png").is_file()


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
    with atomic_folder(folder) as unfinished:  # what another run has made stays
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
