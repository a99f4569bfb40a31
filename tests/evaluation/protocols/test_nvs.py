"""Novel views from any view: the world turns with the photo, and only what was asked for is compared."""

import csv
import json
from pathlib import Path

import pytest
import tiny_stages
import torch
from gso_folder import SIZE, coloured, write_gso

from epimesh.cameras import Cameras
from epimesh.cli import main
from epimesh.errors import BadInput
from epimesh.evaluation.ground_truth.gso import GsoObject, read_gso
from epimesh.evaluation.metrics.images import compare_views
from epimesh.evaluation.protocols.nvs import PhotoOfRing, photos_of_ring
from epimesh.rendering.ray_casting import Light, render_mesh


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(tiny_stages.PRESET)
    return write_gso(tmp_path / "scans", "alarm", "teapot")


@pytest.fixture
def alarm(folder: Path) -> GsoObject:
    return read_gso(folder)[0]


def test_the_photo_stands_at_azimuth_zero_and_the_world_turns_with_it(alarm: GsoObject) -> None:
    truth = PhotoOfRing(alarm, source=4, targets=(5, 8)).truth(elevation_deg=30.0, size=SIZE)
    given = alarm.truth(elevation_deg=30.0, size=SIZE).shown
    torch.testing.assert_close(truth.photo.on_white(), given.rgb[4], atol=0.01, rtol=0)
    seen_again = render_mesh(truth.mesh, truth.photo.camera, threads=1)
    torch.testing.assert_close(seen_again.alpha[0, 0], truth.photo.rgba[3], atol=0.01, rtol=0)
    # View 5 stands 22.5 degrees from view 4, view 8 stands 90 degrees from it.
    asked = truth.views(Cameras.ring(size=SIZE)[[1, 4]])
    assert torch.equal(asked.rgb, given.rgb[[5, 8]])


def test_only_the_views_that_were_asked_for_are_compared(alarm: GsoObject) -> None:
    truth = PhotoOfRing(alarm, source=0, targets=(3, 15)).truth(elevation_deg=30.0, size=SIZE)
    answer = render_mesh(coloured(), Cameras.ring(size=SIZE), light=Light(), threads=1)
    compared = truth.comparable(answer)
    assert len(compared) == 2
    assert all(score.psnr > 40 for score in compare_views(compared, truth.views(compared.cameras)))
    with pytest.raises(BadInput, match="1 of the 2 views"):
        truth.comparable(answer[:8])


def test_every_drawn_view_is_the_photo_for_all_others_and_company_does_not_matter(alarm: GsoObject) -> None:
    photos = photos_of_ring([alarm], views=4, seed=0)
    drawn = {one.source for one in photos}
    assert len(photos) == len(drawn) == 4
    assert all(set(one.targets) == drawn - {one.source} for one in photos)
    assert len({one.content for one in photos}) == len({one.id for one in photos}) == 4
    other = GsoObject(alarm.folder.parent / "teapot", alarm.matrix, alarm.cameras)
    assert [one.source for one in photos_of_ring([other, alarm], views=4, seed=0)[4:]] == [one.source for one in photos]
    assert {one.source for one in photos_of_ring([alarm], views=4, seed=1)} != drawn
    with pytest.raises(BadInput, match="2 to 16"):
        photos_of_ring([alarm], views=17, seed=0)


def nvs(folder: Path, *options: str) -> int:
    command = ["eval", "nvs", str(folder), str(folder.parent / "out"), "--preset", str(folder.parent / "tiny.yaml")]
    return main([*command, "--objects", "[alarm]", *options])


def test_one_command_measures_every_photo_with_every_seed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ring = ["--views", "tiny_test.RingOfSixteen"]
    assert nvs(folder, *ring, "--photos", "2", "--seeds", "[0,1]", "--json") == 0
    assert json.loads(capsys.readouterr().out)["protocol"]["seeds"] == [0, 1]
    with (folder.parent / "out" / "scores.csv").open() as file:
        generated = [row for row in csv.DictReader(file) if row["method"] == "generator"]
    assert [row["seed"] for row in generated] == ["0", "1"] * 2
    assert len({row["photo"] for row in generated}) == 2
    assert all(row["psnr"] and not row["failure"] for row in generated)


def test_a_generator_without_the_views_that_are_asked_for_fails_aloud(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert nvs(folder, "--photos", "16", "--seeds", "[0]") == 2  # the tiny generator makes 4 views
    assert "3 of the 15 views" in capsys.readouterr().err


def test_copied_photos_are_compared_with_the_other_views(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder.parent / "out"
    command = ["eval", "nvs", str(folder), str(out), "--baselines-only", "--photos", "3"]
    assert main(command) == 0
    table = capsys.readouterr().out
    assert "| copy the photo, here |" in table
    assert "| Zero123-XL with Zero-to-Hero | 66 | 18.35 |" in table
    assert "3 drawn at random from the given circle" in table
    with (out / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["object"] for row in rows] == ["alarm"] * 3 + ["teapot"] * 3
    assert len({row["photo"] for row in rows[:3]}) == 3
    assert all(5 < float(row["psnr"]) < 40 for row in rows)
    (psnr,) = [one for one in json.loads((out / "summary.json").read_text())["summaries"] if one["measure"] == "psnr"]
    assert psnr["objects"] == 2
    assert psnr["mean"] == pytest.approx(sum(float(row["psnr"]) for row in rows) / 6)
