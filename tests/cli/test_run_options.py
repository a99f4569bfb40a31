"""What `run` writes and says, by the options people expect of any command."""

import io
import sys
import time
from pathlib import Path

import pytest
import tiny_stages
from rich.console import Console

from epimesh.cli import data, main
from epimesh.cli.progress import WORDS, Terminal
from epimesh.cli.shard import Shard
from epimesh.errors import BadInput
from epimesh.files.formats import NEEDED
from epimesh.files.meshes import FORMATS, read_mesh


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tiny.yaml").write_text(tiny_stages.PRESET)
    (tmp_path / "ball.png").write_bytes(b"any bytes")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_photo_alone_is_run_and_its_log_has_a_line_per_stage_in_plain_words(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ball.png", "--preset", "tiny.yaml", "--formats", "glb", "obj", "-v"]) == 0
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert lines[0].startswith("epimesh ")
    assert lines[0].endswith("ball.png")
    stages = [line for line in lines if line.endswith(" ...")]
    assert stages == [f"{WORDS[slot]} ..." for slot in WORDS if slot != "refine"]
    assert sum(line.split()[0] in WORDS and " s " in line for line in lines if line) == 6
    assert "class_path: tiny_stages.Ball" in shown.err  # what -v adds
    assert {path.suffix for path in (tiny / "runs" / "ball").glob("ball.*")} >= {".glb", ".obj"}
    assert shown.out.splitlines() == [str(Path("runs/ball/ball.glb"))]


@pytest.mark.parametrize("name", ["made/chair.glb", "made/my chair.gltf"])
def test_a_mesh_file_as_output_means_that_file(tiny: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "ball.png", "--preset", "tiny.yaml", "-o", name, "-q"]) == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == name
    assert shown.err == ""
    assert len(read_mesh(tiny / name).faces) > 0  # with the files that a glTF refers to
    assert ((tiny / name).with_suffix("") / "run.json").is_file()
    assert not (tiny / "made" / "chair.glb" / "chair.glb.glb").exists()


def test_a_long_stage_beats_in_a_log_and_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(heartbeat_seconds=0.02)
    log = io.StringIO()
    terminal.console = Console(file=log)
    with terminal.busy("texture"):
        for _ in terminal.track(range(2), "patches", 2):
            time.sleep(0.1)
    assert log.getvalue().startswith("painting the texture ...\n")
    assert "painting the texture: 0 s (patches: 1 of 2)\n" in log.getvalue()


def test_in_a_terminal_a_bar_has_the_words_of_its_stage() -> None:
    terminal = Terminal()
    screen = io.StringIO()
    terminal.console = Console(file=screen, force_terminal=True, width=120)
    with terminal.busy("reconstruct"):
        assert list(terminal.track(iter("ab"), "level 1 of 3", 2)) == ["a", "b"]
        terminal._progress.refresh()  # type: ignore[union-attr]
    assert "finding the surface" in screen.getvalue()


def test_shares_are_disjoint_and_complete_and_a_wrong_one_is_refused() -> None:
    shares = [Shard.parsed(f"{number}/3").of(range(10)) for number in (1, 2, 3)]
    assert sorted(number for share in shares for number in share) == list(range(10))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert Shard.parsed(None).of("abc") == ["a", "b", "c"]
    for text in ("9/8", "0/8", "2", "a/b"):
        with pytest.raises(BadInput, match=r"Expected i/n"):
            Shard.parsed(text)
    assert data._parser().parse_args(["objaverse", "out", "--shard", "2/8"]).shard == "2/8"


def test_a_nearly_full_disk_is_told_before_anything_is_computed(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.modules["epimesh.cli.early"], "_NEEDED_BYTES", 10**18)
    assert main(["run", "ball.png", "--preset", "tiny.yaml"]) == 2
    assert "MB are free" in capsys.readouterr().err
    assert not (tiny / "runs").exists()


def test_formats_are_the_same_to_those_who_check_them_early_and_to_those_who_write_them() -> None:
    assert tuple(NEEDED) == FORMATS
