"""Runs that are killed, stopped, crowded or out of room: what is done is kept, and what was there is never damaged."""

import builtins
import contextlib
import errno
import hashlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import tiny_stages
from PIL import Image
from safetensors import SafetensorError

from epimesh import artifact
from epimesh.cli import main

PLUGINS = Path(__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PLUGINS), str(PLUGINS.parent.parent)])}
QUICK, THOROUGH = 2, 200


def command(out: str, preset: str) -> list[str]:
    return [sys.executable, "-m", "epimesh", "run", "ball.png", "--preset", preset, "--out", out]


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / f"{folder.name}.glb").read_bytes()).hexdigest()


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(tiny_stages.PRESET)
    Image.new("RGB", (64, 64), (200, 60, 40)).save(tmp_path / "ball.png")
    return tmp_path


def stopped_at_random(here: Path, preset: str, times: int) -> None:
    """Each time a little later, by SIGKILL or SIGINT; then run to the end, and compared bit by bit."""
    dice = random.Random(0)
    started = time.monotonic()
    done = subprocess.run(command("whole/ball", preset), cwd=here, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    whole = time.monotonic() - started
    for number in range(times):
        out = f"cut{number}/ball"
        process = subprocess.Popen(
            command(out, preset), cwd=here, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(dice.uniform(0.3, 1.0) * whole)
        process.send_signal(dice.choice([signal.SIGKILL, signal.SIGINT]))
        process.wait()
        done = subprocess.run(command(out, preset), cwd=here, env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert digest(here / out) == digest(here / "whole/ball")
        assert not list((here / out).glob(".*"))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_run_that_is_killed_at_any_moment_goes_on_to_the_same_bits(here: Path) -> None:
    stopped_at_random(here, "tiny.yaml", QUICK)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.slow
@pytest.mark.parametrize("preset", ["tiny.yaml", "fast", "volume"])
def test_two_hundred_kills_change_nothing(here: Path, preset: str) -> None:
    stopped_at_random(here, preset, THOROUGH)


def test_two_runs_into_one_folder_at_once_both_end_well(here: Path) -> None:
    processes = [
        subprocess.Popen(
            command("both/ball", "tiny.yaml"), cwd=here, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert (here / "both/ball/ball.glb").read_bytes()[:4] == b"glTF"
    assert not list((here / "both/ball").glob(".unfinished*"))


@contextlib.contextmanager
def filled(folder: Path, room: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A disk that has room for so many more files below `folder`, however they are written."""
    left = [room]
    plain_open, plain_save = io.open, artifact.save_file

    def take(path: object) -> None:
        if str(path).startswith((str(folder), folder.name)):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def opened(path: Any, mode: str = "r", *rest: Any, **named: Any) -> IO[Any]:
        if any(letter in mode for letter in "wxa"):
            take(path)
        return plain_open(path, mode, *rest, **named)

    def saved(tensors: Any, path: Path) -> None:
        try:
            take(path)
        except OSError as error:
            raise SafetensorError(str(error)) from error
        plain_save(tensors, path)

    with monkeypatch.context() as patched:
        patched.setattr(io, "open", opened)
        patched.setattr(builtins, "open", opened)
        patched.setattr(artifact, "save_file", saved)
        yield


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_disk_that_fills_up_at_any_write_damages_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """First everything is made; then again from the decoder on, with room for one file more each time."""
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(str(PLUGINS))
    arguments = ["run", "ball.png", "--preset", "tiny.yaml", "--out", "ball"]
    assert main(arguments) == 0
    before = contents(here / "ball")
    ended = []
    for room in range(40):
        with filled(here / "ball", room, monkeypatch):
            ended.append(main([*arguments, "--from", "decode"]))
        left = contents(here / "ball")
        assert left["ball.glb"] == before["ball.glb"]
        assert not [name for name in left if "/." in f"/{name}"]
        assert "Traceback" not in capsys.readouterr().err
        if ended[-1] == 0:
            break
    assert ended[-1] == 0
    assert set(ended[:-1]) == {2}


def test_an_output_folder_that_is_taken_away_gets_a_sentence(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(str(PLUGINS))
    decode = tiny_stages.PixelDecoder.__call__

    def and_take_away(*given: Any, **named: Any) -> Any:
        shutil.rmtree(here / "ball")
        return decode(*given, **named)

    monkeypatch.setattr(tiny_stages.PixelDecoder, "__call__", and_take_away)
    assert main(["run", "ball.png", "--preset", "tiny.yaml", "--out", "ball"]) in (0, 2)
    assert "Traceback" not in capsys.readouterr().err
