"""The command line as a person meets it: what it says, where it writes, and how it fails."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_stages
from PIL import Image, ImageDraw

from epimesh.cli import main

PLUGINS = Path(__file__).parent.parent / "pipeline"


def epimesh(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(PLUGINS)}
    command = [sys.executable, "-m", "epimesh", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(tiny_stages.PRESET)
    picture = Image.new("RGB", (160, 120), (235, 235, 230))
    ImageDraw.Draw(picture).ellipse((45, 25, 115, 95), fill=(180, 60, 40))
    picture.save(tmp_path / "ball.png")
    return tmp_path


def test_a_run_writes_an_asset_a_turntable_and_a_report(tiny: Path) -> None:
    done = epimesh("run", "ball.png", "--preset", "tiny.yaml", "--json", cwd=tiny)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (tiny / "runs/ball/ball.glb").read_bytes()[:4] == b"glTF"
    assert (tiny / "runs/ball/ball.webp").is_file()
    assert (tiny / "runs/ball/views.png").is_file()
    assert report == json.loads((tiny / "runs/ball/run.json").read_text())
    assert [stage["slot"] for stage in report["stages"]] == [
        "read",
        "views",
        "decode",
        "reconstruct",
        "mesh",
        "texture",
    ]
    assert report["seed"] == 0
    assert report["unseen_share"] == 0.25
    assert report["peak_bytes"] > 1e6


def test_a_second_run_reuses_every_stage_and_writes_the_same_asset(tiny: Path) -> None:
    epimesh("run", "ball.png", "--preset", "tiny.yaml", cwd=tiny)
    first = (tiny / "runs/ball/ball.glb").read_bytes()
    done = epimesh("run", "ball.png", "--preset", "tiny.yaml", "--json", cwd=tiny)
    report = json.loads(done.stdout)
    assert all(stage["reused"] for stage in report["stages"])
    assert report["unseen_share"] == 0.25
    assert (tiny / "runs/ball/ball.glb").read_bytes() == first


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nothing.jpg"], "nothing.jpg"),
        (["run", "ball.png", "--preset", "huge"], "small"),
        (["run", "ball.png", "--views.stepps", "3"], "stepps"),
        (["run", "ball.png", "--preset", "tiny.yaml", "--decode.gain", "much"], "gain"),
        (["run", "ball.png", "--preset", "tiny.yaml", "--from", "paint"], "texture"),
        (["run", "ball.png", "--preset", "tiny.yaml", "--formats", "[docx]"], "glb"),
        (["run", "ball.png", "--preset", "tiny.yaml", "--device", "cuda:7"], "cpu"),
        (["run", "ball.png", "--preset", "tiny.yaml", "--out", "ball.png/out"], "--out"),
        (["run", "ball.png", "--preset", "small", "--decode.weights", "nowhere"], "bundled:"),
        (["fly"], "run"),
    ],
    ids=[
        "missing photo",
        "unknown preset",
        "unknown setting",
        "wrong type",
        "unknown slot",
        "unknown format",
        "no such device",
        "unwritable output",
        "missing weights",
        "unknown command",
    ],
)
def test_a_mistake_gets_a_message_and_exit_code_2_and_leaves_nothing(
    tiny: Path,
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tiny)
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
    assert not list(tiny.rglob("*.glb"))


def test_a_mistake_in_a_process_of_its_own_shows_no_traceback(tmp_path: Path) -> None:
    done = epimesh("presets", "huge", cwd=tmp_path)
    assert done.returncode == 2
    assert "There is no preset 'huge'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_killed_run_goes_on_where_it_was_and_gives_the_same_asset(tiny: Path) -> None:
    whole = epimesh("run", "ball.png", "--preset", "tiny.yaml", "--out", "whole/ball", cwd=tiny)
    assert whole.returncode == 0, whole.stderr
    command = [sys.executable, "-m", "epimesh", "run", "ball.png", "--preset", "tiny.yaml", "--out", "cut/ball"]
    process = subprocess.Popen(
        command, cwd=tiny, env={**os.environ, "PYTHONPATH": str(PLUGINS)}, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not list((tiny / "cut").glob("ball/2-views-*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = epimesh("run", "ball.png", "--preset", "tiny.yaml", "--out", "cut/ball", "--json", cwd=tiny)
    assert again.returncode == 0, again.stderr
    assert [stage["reused"] for stage in json.loads(again.stdout)["stages"]][:2] == [True, True]
    assert (tiny / "cut/ball/ball.glb").read_bytes() == (tiny / "whole/ball/ball.glb").read_bytes()


def test_doctor_finds_everything_that_is_needed(tmp_path: Path) -> None:
    done = epimesh("doctor", "--json", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert done.returncode == 0, [check for check in report["checks"] if check["needed"] and not check["ok"]]
    assert report["ok"]


def test_presets_are_listed_with_what_they_are_for(tmp_path: Path) -> None:
    listed = json.loads(epimesh("presets", "--json", cwd=tmp_path).stdout)
    assert listed["default"] in listed["presets"]


@pytest.mark.parametrize("command", ["run", "reconstruct", "render", "eval", "presets", "doctor"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):  # how argparse ends after printing the help
        assert main([command, "--help"]) == 0
    assert f"epimesh {command}" in capsys.readouterr().out
