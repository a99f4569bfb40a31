"""Many photos: what is there at the end, what is said of the others, and what a second run does."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_stages
from PIL import Image

from epimesh.apps.batch.photos import items_of
from epimesh.cli import main
from epimesh.errors import BadInput

PLUGINS = Path(tiny_stages.__file__).parent

FATEFUL = """
import os, signal, time
from dataclasses import dataclass
from pathlib import Path
from tiny_stages import ReadDisc

@dataclass(frozen=True, kw_only=True)
class Fateful(ReadDisc):
    \"\"\"Dies once at a photo called dies, never ends at one called hangs.\"\"\"
    def __call__(self, image, *, runtime):
        once = Path("died")
        if "dies" in image.name and not once.exists():
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if "hangs" in image.name:
            time.sleep(3600)
        return super().__call__(image, runtime=runtime)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three photos in folders, two of them of the same name, and a file that is no photo."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(PLUGINS), *sys.path]))
    (tmp_path / "tiny.yaml").write_text(tiny_stages.PRESET)
    (tmp_path / "fateful_stages.py").write_text(FATEFUL)
    (tmp_path / "fateful.yaml").write_text(tiny_stages.PRESET.replace("tiny_stages.ReadDisc", "fateful_stages.Fateful"))
    for name, shade in (("photos/a.png", 10), ("photos/b.png", 90), ("photos/more/a.png", 170)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (shade,) * 3).save(tmp_path / name)
    (tmp_path / "photos/notes.txt").write_text("no photo")
    return tmp_path


def outcomes(out: Path) -> dict[str, dict[str, object]]:
    lines = (out / "manifest.jsonl").read_text().splitlines()
    return {one["name"]: one for one in map(json.loads, lines)}


def test_a_batch_makes_what_single_runs_make_and_a_second_one_makes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--preset", "tiny.yaml", "--threads-per-worker", "1"]
    command = ["batch", "--formats", "glb", "photos", "--out", "meshes", *options]
    assert main(command) == 0
    made = outcomes(folder / "meshes")
    assert len(made) == 3
    assert {one["state"] for one in made.values()} == {"done"}
    assert capsys.readouterr().out.startswith("3 made, 0 were there, 0 failed")
    assert main(["run", "photos/b.png", "--preset", "tiny.yaml", "--out", "single/b"]) == 0
    assert (folder / "meshes/b/b.glb").read_bytes() == (folder / "single/b/b.glb").read_bytes()
    assert json.loads((folder / "meshes/b/run.json").read_text())["files"] == ["b.glb", "b.webp", "b.html"]
    assert (folder / "meshes/b/b.html").is_file()
    assert not list((folder / "meshes").glob("*/[0-9]-*"))

    before = (folder / "meshes/b/b.glb").stat().st_mtime_ns
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("0 made, 3 were there, 0 failed")
    assert (folder / "meshes/b/b.glb").stat().st_mtime_ns == before


@pytest.mark.slow
def test_what_goes_wrong_with_some_photos_is_listed_and_the_others_are_made(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = folder / "photos"
    Image.new("RGB", (32, 32)).save(photos / "dies.png")
    Image.new("RGB", (32, 32)).save(photos / "hangs.png")
    (photos / "vanished.png").symlink_to(folder / "nowhere.png")
    command = ["batch", "photos", "--out", "meshes", "--preset", "fateful.yaml", "--timeout", "40", "--workers", "2"]
    assert main(command) == 1
    made = outcomes(folder / "meshes")
    failed = {name for name, one in made.items() if one["state"] == "failed"}
    assert failed == {"hangs", "vanished"}
    assert made["dies"]["tries"] == 2
    assert "longer than 40 seconds" in str(made["hangs"]["message"])
    said = capsys.readouterr()
    assert "failed: photos/vanished.png" in said.err
    assert said.out.startswith("4 made, 0 were there, 2 failed")
    assert (folder / "meshes/dies/dies.glb").is_file()
    assert not (folder / "meshes/hangs").exists()


@pytest.mark.slow
def test_other_settings_make_everything_again(folder: Path) -> None:
    command = ["batch", "photos/b.png", "--out", "meshes", "--preset", "tiny.yaml", "--threads-per-worker", "1"]
    assert main(command) == 0
    first = (folder / "meshes/b/b.glb").read_bytes()
    assert main([*command, "--decode.gain", "0.5"]) == 0
    assert (folder / "meshes/b/b.glb").read_bytes() != first


@pytest.mark.slow
def test_a_killed_batch_goes_on_where_it_was(folder: Path) -> None:
    for number in range(6):
        Image.new("RGB", (32, 32), (number,) * 3).save(folder / f"photos/more/{number}.png")
    command = [sys.executable, "-m", "epimesh", "batch", "photos", "--out", "meshes", "--preset", "tiny.yaml"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(2400):
        if (folder / "meshes/manifest.jsonl").is_file() and outcomes(folder / "meshes"):
            break
        time.sleep(0.05)
    process.kill()
    process.wait()
    before = len(outcomes(folder / "meshes"))
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert before >= 1
    assert f"{9 - before} made, {before} were there" in done.stdout
    assert len(list((folder / "meshes").glob("*/*.glb"))) == 9


def test_folders_lists_and_addresses_name_photos_each_once_under_names_of_their_own(folder: Path) -> None:
    (folder / "list.csv").write_text("id,photo\n1,photos/a.png\n2,photos/b.png\n3,photos/a.png\n")
    listed = [item.source for item in items_of(["list.csv"])]
    assert listed == ["photos/a.png", "photos/b.png"]
    names = [item.name for item in items_of(["photos", "photos/a.png"])]
    assert len(set(names)) == len(names) == 3
    assert names == [item.name for item in items_of(["photos"])]
    addresses = items_of([(folder / "photos").as_uri()])
    assert len(addresses) == 3
    assert all(item.source.startswith("file://") for item in addresses)


@pytest.mark.parametrize(
    ("sources", "said"),
    [(["nowhere"], "There is no nowhere"), (["photos/notes"], "There is no"), (["bad.csv"], "Expected one of: photo")],
)
def test_sources_that_name_nothing_are_told_before_anything_is_made(
    folder: Path, sources: list[str], said: str
) -> None:
    (folder / "bad.csv").write_text("url\nx\n")
    with pytest.raises(BadInput, match=said):
        items_of(sources)


@pytest.mark.slow
def test_results_can_go_to_an_address_and_photos_come_from_one(folder: Path) -> None:
    place = (folder / "store").as_uri()
    command = ["batch", (folder / "photos/b.png").as_uri(), "--out", place, "--manifest", "here"]
    assert main([*command, "--preset", "tiny.yaml", "--threads-per-worker", "1"]) == 0
    assert (folder / "store/b/b.glb").read_bytes()[:4] == b"glTF"
    assert outcomes(folder / "here")["b"]["state"] == "done"


def test_gpus_without_a_cluster_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch", "photos", "--out", "o", "--preset", "tiny.yaml", "--gpus-per-worker", "1"]) == 2
    assert "--address" in capsys.readouterr().err
