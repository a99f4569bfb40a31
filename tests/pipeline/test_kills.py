"""Runs that are killed, stopped, crowded or out of room: what is done is kept, and what was there is never damaged."""

import builtins
import contextlib
import errno
import io
import json
import os
import shutil
import subprocess
import sys
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
QUICK, THOROUGH = 6, 200


def command(out: str, preset: str) -> list[str]:
    return [sys.executable, "-m", "epimesh", "run", "ball.png", "--preset", preset, "--out", out]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(tiny_stages.PRESET)
    Image.new("RGB", (64, 64), (200, 60, 40)).save(tmp_path / "ball.png")
    return tmp_path


def counts_of_kills(here: Path, preset: str, times: int) -> dict[str, int]:
    """See kill_runs.py, which ends with an error where anything differs or stays behind."""
    script = [sys.executable, str(PLUGINS / "kill_runs.py"), str(here), preset, str(times)]
    done = subprocess.run(script, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork")
def test_a_run_that_is_killed_at_any_moment_goes_on_to_the_same_bits(here: Path) -> None:
    counts = counts_of_kills(here, "tiny.yaml", QUICK)
    assert counts["the same bits"] == QUICK
    assert counts.get("ended before", 0) < QUICK


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork")
@pytest.mark.slow
@pytest.mark.parametrize("preset", ["tiny.yaml", "fast", "volume"])
def test_two_hundred_kills_change_nothing(here: Path, preset: str) -> None:
    counts = counts_of_kills(here, preset, THOROUGH)
    sys.stdout.write(f"{preset}: {counts}\n")
    assert counts["the same bits"] == THOROUGH


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
