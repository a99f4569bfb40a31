"""What a run promises: nothing is computed twice, nothing is half-written, nothing mismatched starts."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny_stages
import torch

from epimesh.artifact import Artifact
from epimesh.cameras import FOV_DEG
from epimesh.errors import BadInput, StageMismatch
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.pipeline.fingerprint import fingerprint
from epimesh.pipeline.image_to_3d import ImageTo3D, photo_key
from epimesh.pipeline.out_folder import folder_for
from epimesh.pipeline.recorder import Recorder
from epimesh.pipeline.shown import shown_in_photo
from epimesh.pipeline.workspace import Workspace
from epimesh.runtime import Runtime
from epimesh.views import Views

ALL = ["read", "views", "decode", "reconstruct", "mesh", "texture"]


def run(pipeline: ImageTo3D, image: Path, out: Path, seed: int = 0, redo_from: str | None = None) -> list[Artifact]:
    recorder = Recorder(Workspace(out), Runtime("cpu", seed), photo_key(image), redo_from)
    return list(pipeline.steps(image, recorder))


def test_a_second_run_computes_nothing_and_gives_bitwise_the_same(
    pipeline: ImageTo3D, image: Path, tmp_path: Path, calls: list[str]
) -> None:
    first = run(pipeline, image, tmp_path / "out")
    assert calls == ALL
    second = run(pipeline, image, tmp_path / "out")
    assert calls == ALL
    assert isinstance(first[2], Views)
    assert isinstance(second[2], Views)
    assert torch.equal(first[2].rgb, second[2].rgb)
    assert isinstance(second[-1], Mesh)


def test_another_decoder_keeps_the_generated_views(
    pipeline: ImageTo3D, image: Path, tmp_path: Path, calls: list[str]
) -> None:
    run(pipeline, image, tmp_path / "out")
    calls.clear()
    run(replace(pipeline, decode=tiny_stages.PixelDecoder(gain=0.5)), image, tmp_path / "out")
    assert calls == ALL[2:]


def test_another_seed_or_photo_renews_everything(
    pipeline: ImageTo3D, image: Path, tmp_path: Path, calls: list[str]
) -> None:
    run(pipeline, image, tmp_path / "out")
    calls.clear()
    run(pipeline, image, tmp_path / "out", seed=1)
    assert calls == ALL
    calls.clear()
    image.write_bytes(b"other bytes")
    run(pipeline, image, tmp_path / "out")
    assert calls == ALL


def test_redoing_from_a_slot_makes_that_and_all_later_ones_again(
    pipeline: ImageTo3D, image: Path, tmp_path: Path, calls: list[str]
) -> None:
    run(pipeline, image, tmp_path / "out")
    calls.clear()
    run(pipeline, image, tmp_path / "out", redo_from="reconstruct")
    assert calls == ["reconstruct", "mesh", "texture"]


class Interrupted(tiny_stages.PixelDecoder):
    """Fails in the middle of saving its output."""

    def __call__(self, latents, *, runtime):  # type: ignore[no-untyped-def]
        views = super().__call__(latents, runtime=runtime)

        def preview() -> None:
            raise KeyboardInterrupt

        object.__setattr__(views, "preview", preview)
        return views


def test_a_crash_while_saving_leaves_nothing_behind_and_the_next_run_goes_on(
    pipeline: ImageTo3D, image: Path, tmp_path: Path, calls: list[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(replace(pipeline, decode=Interrupted()), image, tmp_path / "out")
    assert sorted(path.name.split("-")[1] for path in (tmp_path / "out").iterdir()) == ["read", "views"]
    calls.clear()
    run(pipeline, image, tmp_path / "out")
    assert calls == ALL[2:]


def test_what_a_killed_run_left_unfinished_is_removed_but_not_that_of_a_living_one(tmp_path: Path) -> None:
    dead, living = tmp_path / ".3-decode-ab.4194305.unfinished", tmp_path / ".3-decode-ab.1.unfinished"
    dead.mkdir()
    living.mkdir()
    Workspace(tmp_path)
    assert not dead.exists()
    assert living.exists()


def test_a_damaged_output_is_made_again(pipeline: ImageTo3D, image: Path, tmp_path: Path, calls: list[str]) -> None:
    run(pipeline, image, tmp_path / "out")
    calls.clear()
    (file,) = (tmp_path / "out").glob("3-decode-*/tensors.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    run(pipeline, image, tmp_path / "out")
    assert calls == ["decode"]


@pytest.mark.parametrize(
    "text",
    ["null", "[]", "7", '{"cameras": 3}', "[" * 100_000, "\ufeff{}"],
    ids=["null", "list", "7", "x", "deep", "mark"],
)
def test_a_saved_stage_with_foreign_values_is_made_again(
    pipeline: ImageTo3D, image: Path, tmp_path: Path, calls: list[str], text: str
) -> None:
    run(pipeline, image, tmp_path / "out")
    calls.clear()
    (file,) = (tmp_path / "out").glob("1-read-*/values.json")
    file.write_text(text)
    run(pipeline, image, tmp_path / "out")
    assert calls == ["read"]


def test_a_saved_stage_with_values_of_the_wrong_type_is_made_again(
    pipeline: ImageTo3D, image: Path, tmp_path: Path, calls: list[str]
) -> None:
    run(pipeline, image, tmp_path / "out")
    calls.clear()
    (file,) = (tmp_path / "out").glob("1-read-*/values.json")
    file.write_text(file.read_text().replace('fov_deg": ', 'fov_deg": "wide", "was": '))
    run(pipeline, image, tmp_path / "out")
    file.write_text('{"elevation_deg": "high", "fov_deg": 49.134}')
    run(pipeline, image, tmp_path / "out")
    assert calls == ["read", "read"]


def test_folders_of_strangers_in_the_output_are_no_obstacle(tmp_path: Path) -> None:
    for name in (".abc.unfinished", ".1-read.².unfinished", f".1-read.{'9' * 30}.unfinished", ".unfinished"):
        (tmp_path / name).mkdir()
    Workspace(tmp_path)


def test_a_stage_that_two_runs_save_at_once_is_kept_once(pipeline: ImageTo3D, image: Path, tmp_path: Path) -> None:
    first = run(pipeline, image, tmp_path / "out")[0]
    assert Workspace(tmp_path / "out").keep("1-read", "twice", first) is first
    assert Workspace(tmp_path / "out").keep("1-read", "twice", first) is first


def test_the_result_of_another_photo_of_the_same_name_is_not_replaced(tmp_path: Path) -> None:
    assert folder_for("chair", "a", tmp_path) == tmp_path / "chair"
    (tmp_path / "chair").mkdir()
    (tmp_path / "chair" / "run.json").write_text('{"photo_sha256": "a"}')
    assert folder_for("chair", "a", tmp_path) == tmp_path / "chair"
    assert folder_for("chair", "b", tmp_path) == tmp_path / "chair-2"
    with pytest.raises(BadInput, match="--out"):
        folder_for("..", "a", tmp_path)


def cut_out(reach: float) -> Photo:
    """A disc of this radius, as the standard camera sees it."""
    row, column = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    alpha = ((row**2 + column**2).sqrt() < reach).float()[None]
    return Photo(torch.cat([torch.full((3, 64, 64), 0.5), alpha]), 0.0, FOV_DEG)


def test_what_the_mesh_lacks_of_the_photo_is_measured_and_drawn() -> None:
    corners = torch.tensor([[0.0, -1, -1], [0, 1, -1], [0, 1, 0], [0, -1, 0]])  # covers the lower half of every picture
    half = Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]))
    shown = shown_in_photo(half, cut_out(0.6))
    assert shown.share == pytest.approx(0.5, abs=0.03)
    assert shown.picture.getpixel((32, 24)) == (230, 26, 26)
    assert shown.picture.getpixel((32, 40)) != (230, 26, 26)


def test_a_decoder_of_another_latent_space_is_refused_before_anything_runs(
    pipeline: ImageTo3D, calls: list[str]
) -> None:
    with pytest.raises(StageMismatch, match=r"makes 'pixels' latents.*reads 'other'"):
        replace(pipeline, decode=tiny_stages.OtherDecoder())
    assert calls == []


def test_every_setting_of_a_stage_changes_its_key() -> None:
    plain = fingerprint(tiny_stages.ReadDisc())
    assert plain == fingerprint(tiny_stages.ReadDisc())
    assert plain != fingerprint(tiny_stages.ReadDisc(radius=0.31))
    assert plain != fingerprint(tiny_stages.SameFromEverywhere())


def test_a_file_setting_counts_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(b"one")
    one = fingerprint(path)
    path.write_bytes(b"two")
    assert fingerprint(path) != one


def test_an_output_folder_that_cannot_be_made_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match="--out"):
        Workspace(tmp_path / "file" / "out")
