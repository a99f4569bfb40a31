"""`epimesh eval` as a person meets it: tables, JSON, exit codes, and what it says to mistakes."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_stages
import trimesh

from epimesh.cli import main

QUICK = ["--samples", "2000", "--resolutions", "[32]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A truth, predictions of several kinds, and a data set of two closed solids."""
    truth = trimesh.creation.icosphere(3, 0.5)
    truth.export(tmp_path / "truth.ply")
    trimesh.creation.icosphere(3, 0.48).export(tmp_path / "good.ply")
    trimesh.creation.icosphere(3, 48.0).export(tmp_path / "centimetres.ply")
    truth.submesh([np.arange(600)], append=True).export(tmp_path / "open.ply")
    broken = truth.copy()
    broken.vertices[0] = np.nan
    broken.export(tmp_path / "nan.ply")
    trimesh.PointCloud([[0, 0, 0], [1, 1, 1]]).export(tmp_path / "empty.ply")
    (tmp_path / "objects").mkdir()
    rows = ["id,file,split,hard,licence,attribution,family,realistic"]
    for name, shape in (("marble", truth), ("chest", trimesh.creation.box([0.6, 1.0, 0.5]))):
        (tmp_path / "objects" / f"{name}.glb").write_bytes(shape.export(file_type="glb"))
        rows += [f"{name}_{split},{name}.glb,{split},0,CC0-1.0,me,{name},0" for split in ("train", "test")]
    (tmp_path / "objects" / "manifest.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "tiny.yaml").write_text(tiny_stages.PRESET)
    return tmp_path


def shape(folder: Path, prediction: str, truth: str, *options: str) -> int:
    return main(["eval", "shape", str(folder / prediction), "--truth", str(folder / truth), *QUICK, *options])


def test_a_shape_is_measured_and_the_protocol_is_printed_with_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shape(folder, "good.ply", "truth.ply") == 0
    table = capsys.readouterr().out
    assert "Chamfer, all      0.0199" in table
    assert "Alignment none" in table
    assert "Read as z up" in table
    assert "note:" not in table


def test_json_has_the_same_numbers_and_alignment_changes_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shape(folder, "good.ply", "truth.ply", "--align", "scale", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["protocol"]["alignment"] == "scale"
    assert report["chamfer_surface"] < 0.002
    assert report["volume"][0]["iou"] > 0.99
    assert report["read"] == {"prediction_up": "z", "truth_up": "z", "unit": False}


def test_a_prediction_in_another_unit_is_told_that_no_camera_sees_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shape(folder, "truth.ply", "centimetres.ply", "--json", "--unit") == 0
    alone = json.loads(capsys.readouterr().out)
    assert alone["chamfer_surface"] > 0.4  # both were moved: the small one is now tiny
    assert shape(folder, "centimetres.ply", "truth.ply") == 0
    assert "spans -48 to 48" in capsys.readouterr().out
    assert shape(folder, "good.ply", "centimetres.ply") == 0
    assert "The truth is not in the standard frame (longest side 96" in capsys.readouterr().out


def test_an_open_truth_is_measured_without_volume_and_the_reason_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shape(folder, "good.ply", "open.ply") == 0
    table = capsys.readouterr().out
    assert "the truth is not a closed solid" in table
    assert "Close its holes" in table
    assert "volume IoU             -" in table
    assert "not watertight" in table


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["shape", "nothing.ply", "--truth", "truth.ply"], "There is no file nothing.ply"),
        (["shape", "good.ply", "--truth", "tiny.yaml"], "not a mesh file"),
        (["shape", "good.ply"], "truth"),
        (["shape", "nan.ply", "--truth", "truth.ply"], "non-finite"),
        (["shape", "empty.ply", "--truth", "truth.ply"], "0 triangles"),
        (["shape", "good.ply", "--truth", "truth.ply", "--align", "best"], "none, scale, icp, yaw"),
        (["shape", "good.ply", "--truth", "truth.ply", "--truth-up", "x"], "auto, y, z"),
        (["shape", "good.ply", "--truth", "truth.ply", "--samples", "0"], "at least one point"),
        (["shape", "good.ply", "--truth", "truth.ply", "--points", "9"], "epimesh eval shape --help"),
        (["generator", "nowhere", "out", "--baselines-only"], "manifest.csv"),
        (["generator", "objects", "out", "--split", "exam", "--baselines-only"], "test, train"),
        (["generator", "objects", "out", "--realistic", "--baselines-only"], "--realistic"),
        (["generator", "objects", "out", "--seeds", "[]", "--baselines-only"], "at least one seed"),
        (["generator", "objects", "out", "--elevation", "95", "--baselines-only"], "-90 and 90"),
        (["generator", "objects", "tiny.yaml/out", "--baselines-only"], "cannot be written"),
        (["generator", "objects", "out", "--preset", "tiny.yaml", "--views.nois", "1"], "nois"),
        (["generator", "objects", "out", "--mean", "nowhere", "--baselines-only"], "bundled:mean-object"),
        (["mean-object", "objects", "out", "--every", "0"], "--every 0"),
        (["mean"], "shape, generator, gso, nvs, consistency, latents, guidance, budget, mean-object"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_gets_a_message_and_exit_code_2(
    folder: Path,
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    assert main(["eval", *arguments]) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert shown.out == ""
    assert not (folder / "out" / "table.md").exists()


def test_a_generator_is_tested_on_the_chosen_objects_beside_the_baselines(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--preset", str(folder / "tiny.yaml"), "--views.noise", "0.02", "--seeds", "[0,1]", "--count", "1"]
    command = ["eval", "generator", str(folder / "objects"), str(folder / "out"), *arguments, "--photo-size", "32"]
    assert main([*command, "--elevation", "10", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((folder / "out" / "summary.json").read_text())
    assert printed["objects"] == "1 of objects, split test, the first 1"
    assert printed["protocol"]["elevation_deg"] == 10
    assert printed["protocol"]["seeds"] == [0, 1]
    assert printed["stages"][0]["settings"]["noise"] == "0.02"
    assert {summary["method"] for summary in printed["summaries"]} >= {"generator", "copy the photo"}
    assert len((folder / "out" / "scores.csv").read_text().splitlines()) == 5
    assert (folder / "out" / "table.md").read_text().startswith("| method |")


def test_a_generator_that_never_answers_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The tiny stages draw 32 pixels; photos of 48 do not fit.
    options = ["--preset", str(folder / "tiny.yaml"), "--photo-size", "48"]
    assert main(["eval", "generator", str(folder / "objects"), str(folder / "out"), *options, "--count", "1"]) == 2
    shown = capsys.readouterr()
    assert "every answer failed" in shown.err
    assert "FAILED marble_test, generator, seed 0" in shown.out


def test_baselines_need_no_preset(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--baselines-only", "--photo-size", "32"]
    assert main(["eval", "generator", str(folder / "objects"), str(folder / "out"), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:4]] == ["copy the photo", "mean object"]
    assert "Objects: 2 of objects, split test." in "\n".join(lines)


def test_the_mean_object_is_made_of_training_objects_and_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "mean-object", str(folder / "objects"), str(folder / "mean"), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["objects"], made["solids"], made["skipped"]) == (2, 2, 0)
    options = ["--baselines-only", "--photo-size", "32", "--count", "1", "--mean", str(folder / "mean")]
    assert main(["eval", "generator", str(folder / "objects"), str(folder / "out"), *options]) == 0
    assert "| mean object |" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["shape", "generator", "gso", "nvs", "consistency", "budget", "mean-object"])
def test_every_kind_explains_itself_with_an_example(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["eval", kind, "--help"])
    assert stopped.value.code == 0
    assert f"epimesh eval {kind} " in capsys.readouterr().out.split("example")[1]
