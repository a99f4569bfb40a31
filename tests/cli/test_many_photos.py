"""Several photos and folders in one command: nothing is lost, nothing is done twice, failures are told."""

import csv
import json
from pathlib import Path
from typing import NamedTuple

import pytest
import tiny_stages
import torch
from PIL import Image, ImageDraw

from epimesh.cli import main
from epimesh.data.posed.posed_views import read_posed_views
from epimesh.views import Views

COLOURS = {"a/ball.png": (180, 60, 40), "b/ball.png": (40, 60, 180), "b/cup.png": (40, 160, 60)}


class Ran(NamedTuple):
    """A folder with results, what the commands printed, and their exit code."""

    folder: Path
    out: str
    err: str
    code: int


def photos_of(folder: Path) -> None:
    (folder / "tiny.yaml").write_text(tiny_stages.PRESET)
    for name, colour in COLOURS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        picture = Image.new("RGB", (160, 120), (235, 235, 230))
        ImageDraw.Draw(picture).ellipse((45, 25, 115, 95), fill=colour)
        picture.save(folder / name)
    (folder / "b" / "notes.txt").write_text("no photo")


def epimesh(folder: Path, arguments: list[str]) -> Ran:
    """Runs a command in a folder, as a person in it would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        capture = _Printed()
        patch.setattr("sys.stdout", capture.out)
        patch.setattr("sys.stderr", capture.err)
        code = main(arguments)
    return Ran(folder, capture.out.getvalue(), capture.err.getvalue(), code)


class _Printed:
    def __init__(self) -> None:
        import io

        self.out, self.err = io.StringIO(), io.StringIO()


MANY = ["run", "a/ball.png", "b", "absent.jpg", "--preset", "tiny.yaml", "--out", "results"]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("many")
    photos_of(folder)
    return epimesh(folder, MANY)


def summary(folder: Path) -> list[dict[str, str]]:
    with (folder / "results" / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_photo_gets_a_folder_of_its_own_also_one_of_the_same_name(many: Ran) -> None:
    meshes = sorted(path.relative_to(many.folder / "results").as_posix() for path in many.folder.rglob("*.glb"))
    assert meshes == ["ball-2/ball-2.glb", "ball/ball.glb", "cup/cup.glb"]
    assert sorted(many.out.split()) == sorted(f"results/{mesh}" for mesh in meshes)


def test_a_failure_stops_no_other_photo_and_is_told_at_the_end_with_exit_code_1(many: Ran) -> None:
    assert many.code == 1
    told = " ".join(many.err.split())
    assert "3 of 4 photos became meshes" in told
    assert "failed: absent.jpg" in told
    assert [line.split()[0] for line in many.err.splitlines() if "/4 " in line] == ["1/4", "2/4", "3/4", "4/4"]


def test_the_table_and_the_sheet_show_every_photo(many: Ran) -> None:
    rows = summary(many.folder)
    assert [row["photo"] for row in rows] == ["a/ball.png", "b/ball.png", "b/cup.png", "absent.jpg"]
    assert [row["status"] for row in rows] == ["made", "made", "made", "failed"]
    assert rows[0]["mesh"] == "results/ball/ball.glb"
    assert "absent.jpg" in rows[3]["error"]
    sheet = Image.open(many.folder / "results" / "contact.jpg")
    assert sheet.size == (4 * 160, 3 * 176)
    assert len(set(sheet.convert("L").getdata())) > 50  # pictures, not a white page


def test_the_same_command_makes_nothing_again_but_what_failed(many: Ran) -> None:
    tiny_stages.CALLS.clear()
    Image.open(many.folder / "a" / "ball.png").save(many.folder / "absent.jpg")
    again = epimesh(many.folder, [*MANY, "--json"])
    (many.folder / "absent.jpg").unlink()
    assert again.code == 0
    assert tiny_stages.CALLS.count("read") == 1
    assert [row["status"] for row in summary(many.folder)] == ["kept", "kept", "kept", "made"]
    assert [report["photo"] for report in json.loads(again.out)] == ["ball.png", "ball.png", "cup.png", "absent.jpg"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "empty", "--preset", "tiny.yaml"], "holds no photo"),
        (["run", "b/cup.png", "--preset", "tiny.yaml", "--out", "results/ball"], "holds the result of another photo"),
        (["reconstruct", "results/cup/views", "--out", "results/ball"], "holds the result of another photo"),
        (["run", "b/cup.png", "--preset", "tiny.yaml", "--height", "120"], "--height 120mm"),
        (["run", "b/cup.png", "--preset", "tiny.yaml", "--origin", "middle"], "ground"),
        (["run", "a/ball.png", "b", "--preset", "small", "--mask", "a/ball.png"], "One --mask was given for 3 photos"),
    ],
    ids=["empty folder", "another's result", "posed views", "height without unit", "origin", "mask"],
)
def test_a_mistake_is_told_and_replaces_nothing(many: Ran, arguments: list[str], words: str) -> None:
    (many.folder / "empty").mkdir(exist_ok=True)
    before = (many.folder / "results" / "ball" / "ball.glb").read_bytes()
    ran = epimesh(many.folder, arguments)
    assert ran.code == 2
    assert words in ran.err
    assert (many.folder / "results" / "ball" / "ball.glb").read_bytes() == before


def test_a_page_and_posed_views_lie_beside_the_mesh(many: Ran) -> None:
    folder = many.folder / "results" / "cup"
    assert "<title>cup</title>" in (folder / "cup.html").read_text()
    assert json.loads((folder / "views" / "transforms.json").read_text())["camera_model"] == "PINHOLE"
    report = json.loads((folder / "run.json").read_text())
    kept = Views.load(folder / next(stage["folder"] for stage in report["stages"] if stage["slot"] == "decode"))
    back = read_posed_views(folder / "views")
    torch.testing.assert_close(back.alpha, kept.alpha, atol=1 / 255, rtol=0)
    torch.testing.assert_close(back.rgb * kept.alpha, kept.rgb * kept.alpha, atol=2 / 255, rtol=0)
    torch.testing.assert_close(back.cameras.world_to_camera, kept.cameras.world_to_camera, atol=1e-5, rtol=0)
    torch.testing.assert_close(back.cameras.intrinsics, kept.cameras.intrinsics, atol=1e-4, rtol=0)


def test_the_imagined_views_go_through_reconstruct(many: Ran) -> None:
    command = ["reconstruct", "results/cup/views", "--preset", "tiny.yaml", "--out", "again/cup", "--fit", "never"]
    ran = epimesh(many.folder, command)
    assert ran.code == 0, ran.err
    assert (many.folder / "again" / "cup" / "cup.glb").is_file()


def test_formats_stand_on_the_ground_with_the_height_that_was_asked_for(many: Ran) -> None:
    import trimesh

    command = ["run", "b/cup.png", "--preset", "tiny.yaml", "--out", "print/cup", "--formats", "[glb,stl,3mf,gltf]"]
    ran = epimesh(many.folder, [*command, "--height", "120mm", "--origin", "ground", "--texture-format", "webp"])
    assert ran.code == 0, ran.err
    bounds = trimesh.load(many.folder / "print" / "cup" / "cup.stl").bounds
    assert bounds[:, 2] == pytest.approx([0, 120], abs=1e-3)
    assert (many.folder / "print" / "cup" / "cup.3mf").read_bytes()[:2] == b"PK"
    assert "kB" in ran.err
