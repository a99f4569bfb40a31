"""A full disk gets a sentence, and what was there before is never damaged."""

import errno
from pathlib import Path

import pytest
from safetensors import SafetensorError

from epimesh.errors import BadInput, StageFailed
from epimesh.files.atomic import output_file

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("error", [FULL, SafetensorError("No space left on device")], ids=["disk", "safetensors"])
def test_a_full_disk_leaves_the_old_file_and_no_stub(tmp_path: Path, error: Exception) -> None:
    (tmp_path / "run.json").write_text("old")

    def write() -> None:
        with output_file(tmp_path / "run.json") as path:
            path.write_text("half")
            raise error

    with pytest.raises(BadInput, match=r"run.json cannot be written .*No space left"):
        write()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("run.json", "old")]


def test_a_folder_in_the_place_of_a_file_is_named_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "views.png").mkdir()

    def write() -> None:
        with output_file(tmp_path / "views.png") as path:
            path.write_text("picture")

    with pytest.raises(BadInput, match=r"views.png cannot be written"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["views.png"]


def test_errors_of_this_project_pass_unchanged(tmp_path: Path) -> None:
    def write() -> None:
        with output_file(tmp_path / "file"):
            raise StageFailed("empty")

    with pytest.raises(StageFailed, match="empty"):
        write()
    assert not list(tmp_path.iterdir())
