"""Scanned objects with given views: read in place, measured as others measure, beside what others published."""

import csv
import json
from pathlib import Path

import pytest
import tiny_stages
import torch
from gso_folder import SHAPE, SIZE, coloured, write_gso

from epimesh.cameras import Cameras
from epimesh.cli import main
from epimesh.errors import BadInput
from epimesh.evaluation.ground_truth.gso import PUBLISHED_OBJECTS, read_gso
from epimesh.evaluation.metrics.images import compare_views
from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.report.published_gso import PEERS, peers_table
from epimesh.rendering.ray_casting import Light, render_mesh


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(tiny_stages.PRESET)
    return write_gso(tmp_path / "scans", "alarm", "teapot")


def test_the_mesh_is_put_where_its_pictures_show_it(folder: Path) -> None:
    alarm, teapot = read_gso(folder)
    assert (alarm.id, teapot.id) == ("alarm", "teapot")
    truth = alarm.truth(elevation_deg=30.0, size=SIZE)
    torch.testing.assert_close(truth.mesh.vertices, SHAPE.vertices, atol=1e-5, rtol=0)
    shown = render_mesh(truth.mesh, truth.shown.cameras, threads=1)
    torch.testing.assert_close(shown.alpha, truth.shown.alpha, atol=0.01, rtol=0)
    assert truth.photo.elevation_deg == 30
    assert torch.equal(truth.photo.rgba[3], truth.shown.alpha[0, 0])


def test_the_true_views_are_the_given_pictures_of_the_cameras_that_are_asked(folder: Path) -> None:
    truth = read_gso(folder)[0].truth(elevation_deg=30.0, size=SIZE)
    four = truth.views(Cameras.ring(4, size=SIZE))
    assert torch.equal(four.rgb, truth.shown.rgb[[0, 4, 8, 12]])
    exact = render_mesh(coloured(), four.cameras, light=Light(), threads=1)
    torch.testing.assert_close(four.rgb, exact.rgb, atol=0.01, rtol=0)
    assert four.depth is not None
    assert (four.depth.isfinite() == (four.alpha[:, 0] > 0.5)).float().mean() > 0.98
    for elsewhere in (
        Cameras.ring(4, size=SIZE, elevation_deg=20.0),
        Cameras.ring(5, size=SIZE),
        Cameras.ring(size=16),
    ):
        with pytest.raises(BadInput, match=r"cameras\.json"):
            truth.views(elsewhere)


def test_smaller_answers_are_enlarged_to_the_size_of_the_pictures(folder: Path) -> None:
    truth = read_gso(folder)[0].truth(elevation_deg=30.0, size=SIZE)
    small = render_mesh(coloured(), Cameras.ring(4, size=16), light=Light(), threads=1)
    enlarged = truth.comparable(small)
    scores = compare_views(enlarged, truth.views(enlarged.cameras))
    assert all(15 < score.psnr < 40 for score in scores)
    assert truth.comparable(truth.shown) is truth.shown


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "alarm" / "007.png").unlink(), r"lacks 007\.png"),
        (lambda folder: (folder / "alarm" / "model.obj").unlink(), r"lacks model\.obj"),
        (lambda folder: (folder / "alarm" / "model.obj").write_text("v 0 0 0\n"), "cannot be read|0 triangles"),
        (lambda folder: (folder / "alignment.json").write_text("{}"), r"matrix in alignment\.json"),
        (lambda folder: (folder / "alarm" / "003.png").write_bytes(b"broken"), "not a picture|damaged|cannot"),
    ],
    ids=["a view missing", "no mesh", "an empty mesh", "no matrix", "a damaged view"],
)
def test_what_an_object_lacks_is_told_when_it_is_asked_about(folder: Path, damage, words: str) -> None:
    damage(folder)
    with pytest.raises(BadInput, match=words):
        read_gso(folder)[0].truth(elevation_deg=30.0, size=SIZE)


def test_an_object_whose_files_change_has_other_content(folder: Path) -> None:
    before = read_gso(folder)[0].content
    assert read_gso(folder)[0].content == before
    (folder / "alarm" / "model.obj").write_text((folder / "alarm" / "model.obj").read_text() + "\n")
    assert read_gso(folder)[0].content != before


def test_published_numbers_stand_below_ours_with_what_differs() -> None:
    assert len(PUBLISHED_OBJECTS) == 30
    table = peers_table(
        [
            Scores("alarm", "generator", 0, values={"psnr": 18.5, "chamfer_visible": 0.04}),
            Scores("mug", "generator", 0),
        ],
        256,
    )
    lines = table.splitlines()
    assert "| **this pipeline** | 0.0400 |  | 18.50 |  |  | here | 1 objects |" in lines
    assert "| SyncDreamer | 0.0261 | 0.5421 | 20.05 | 0.798 | 0.146 |" in table
    assert sum(line.startswith("| ") for line in lines) == 2 + len(PEERS)
    assert "2 here, 1 of them among the published 30; absent here: backpack," in table
    assert "LPIPS is not measured" in table


def test_one_command_measures_views_and_shapes_and_names_what_failed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder.parent / "out"
    (folder / "teapot" / "model.obj").unlink()
    command = ["eval", "gso", str(folder), str(out), "--preset", str(folder.parent / "tiny.yaml"), "--seeds", "[0,1]"]
    assert main([*command, "--consistency"]) == 0
    table = capsys.readouterr().out
    assert "| generator |" in table
    assert "| SyncDreamer |" in table
    assert "FAILED teapot, truth, seed None: BadInput" in table
    with (out / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    generated = [row for row in rows if row["method"] == "generator"]
    assert [(row["object"], row["seed"]) for row in generated] == [("alarm", "0"), ("alarm", "1")]
    assert all(float(row[name]) > 0 for row in generated for name in ("psnr", "volume_iou", "chamfer_visible"))
    assert all(row["warp_psnr"] and row["rerender_psnr"] and row["matches"] for row in generated)
    summary = json.loads((out / "summary.json").read_text())
    assert set(summary["inputs"]) == {"alarm", "teapot"}
    assert [failure["object"] for failure in summary["failures"]] == ["alarm", "teapot"]  # no mean object of 4 views
    assert len(summary["published"]) == len(PEERS)


def test_views_alone_of_chosen_objects_need_no_shape(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["eval", "gso", str(folder), str(folder.parent / "out"), "--baselines-only", "--views-only"]
    assert main([*command, "--objects", "[alarm]", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert {one["method"] for one in summary["summaries"]} == {"copy the photo", "mean object"}
    assert summary["objects"] == "1 of scans"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere", "out"], "cameras.json"),
        (["scans", "out", "--objects", "[mug]"], "alarm, teapot"),
        (["scans", "out", "--seeds", "[]"], "at least one seed"),
    ],
    ids=["no folder", "no such object", "no seed"],
)
def test_a_mistake_gets_a_message_and_exit_code_2(
    folder: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert main(["eval", "gso", *arguments, "--baselines-only"]) == 2
    assert words in capsys.readouterr().err
    assert not (folder.parent / "out" / "table.md").exists()


def test_the_given_scans_fit_their_pictures(shared: Path) -> None:
    if not (shared / "data" / "gso30").is_dir():
        pytest.skip("no scans")
    truth = read_gso(shared / "data" / "gso30")[0].truth(elevation_deg=30.0, size=256)
    shown = truth.views(truth.shown.cameras[[0, 5]])
    assert shown.depth is not None
    overlap = (shown.depth.isfinite() == (shown.alpha[:, 0] > 0.5)).float().mean()
    assert overlap > 0.9999
