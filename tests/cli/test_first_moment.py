"""The first moment of a command: help, mistakes and greetings come before torch, which takes seconds, is imported."""

import contextlib
import io
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from epimesh.cli import COMMANDS, main, run
from epimesh.cli.lists import with_lists

# Runs command lines one after the other in one process, where usd-core is not installed, and tells what each said.
TELLS = """
import contextlib, io, json, sys
sys.modules["pxr"] = None
from epimesh.cli import main
told = []
for line in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(line)
        except SystemExit as stop:
            code = stop.code
    told.append([code, out.getvalue(), err.getvalue(), "torch" in sys.modules])
print(json.dumps(told))
"""

MISTAKES = {
    "run photo.jpg --device gpu": ("--device gpu", "--device auto, cpu, cuda"),
    "run photo.jpg --formats glb usd": ("usd", "pip install 'epimesh[usd]'"),
    "run photo.jpg --formats docx": ("docx", "--formats glb obj"),
    "run photo.jpg --from paint": ("paint", "read, views, decode"),
    "run photo.jpg --out chair.fbx": ("chair.fbx", "glb, gltf, obj"),
    "run https://example.org/chair.jpg": ("https://example.org/chair.jpg", "download it first"),
    "run chair.jpg": ("chair.jpg", "a photo that exists"),
    "run photo.jpg --steps": ("--steps was given no value", "--steps VALUE"),
    "run photo.jpg --steps 3": ("--steps (which means --views.steps)", "--views.help PriorViews"),
    "run photo.jpg --preset small --views.stpes 3": ("--views.stpes", "Did you mean --views.steps"),
    "run photo.jpg --faces many": ("--faces many", "Expected int"),
    "run photo.jpg --decode VaeDecodr": ("VaeDecodr", "Did you mean VaeDecoder"),
    "run photo.jpg --preset smal": ("smal", "epimesh presets"),
    "run photo.jpg --sed 3": ("--sed", "epimesh run --help"),
    "reconstruct photo --views.steps 3": ("--views.steps", "reconstruct, refine, mesh, texture"),
    "rnu photo.jpg": ("rnu", "Did you mean epimesh run"),
    "train epipolar": ("epipolar", "epipolar-decoder"),
    "train epipolar-decoder --data.trian x": ("--data.trian", "Did you mean --data.train"),
    "train epipolar-decoder --model.rate fast": ("--model.rate fast", "expected float"),
    "train epipolar-decoder --resume": ("last.ckpt", "--out FOLDER"),
    "train epipolar-decoder --out busy": ("step.ckpt", "--resume"),
    "presets --jsno": ("--jsno", "epimesh presets --help"),
}
HELPS = ("run --help", "help run", "run --preset small --help", "reconstruct --help", "train epipolar-decoder --help")
LINES = [
    *MISTAKES,
    *(f"{line} --json" for line in list(MISTAKES)[:5]),
    *HELPS,
    "-V",
    "completion bash",
    "completion zsh",
]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    """Exit code, stdout, stderr and whether torch was there, by command line."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "photo.jpg").write_bytes(b"any bytes")
    (folder / "busy").mkdir()
    (folder / "busy" / "step.ckpt").touch()
    arguments = json.dumps([line.split() for line in LINES])
    done = subprocess.run(
        [sys.executable, "-c", TELLS, arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["busy", "photo.jpg"]  # nothing was begun
    return dict(zip(LINES, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_told_by_what_was_typed_and_what_works_before_torch_is_imported(
    said: dict[str, list], line: str
) -> None:
    code, out, err, torch = said[line]
    assert code == 2
    assert all(words in err for words in MISTAKES[line]), err
    assert out == ""
    assert not torch


def test_with_json_a_mistake_is_json_on_stdout(said: dict[str, list]) -> None:
    for line, (code, out, _, _) in said.items():
        if line.endswith(" --json"):
            error = json.loads(out)["error"]
            assert (code, error["exit_code"], error["command"]) == (2, 2, line.split()[0])
            assert MISTAKES[line.removesuffix(" --json")][0] in error["message"]


def test_the_short_help_has_at_most_22_lines_and_the_slots_in_use_with_nothing_required(said: dict[str, list]) -> None:
    for line in HELPS[:4]:
        code, out, _, torch = said[line]
        assert (code, torch) == (0, False)
        assert len([one for one in out.splitlines() if one.strip()]) <= 22
        assert "required" not in out
        assert "--help-all" in out
    assert all("--license-policy" in said[f"{name} --help"][1] for name in ("run", "reconstruct"))
    assert said["help run"][1] == said["run --help"][1]
    assert "SmallSyncDreamer" in said["run --preset small --help"][1]
    assert "PriorViews" in said["run --help"][1]
    assert "views  " not in said["reconstruct --help"][1]


def test_help_of_a_training_begins_with_model_and_data(said: dict[str, list]) -> None:
    _, out, _, torch = said["train epipolar-decoder --help"]
    assert not torch
    places = [out.index(words) for words in ("--model.svd", "--data.train", "--data.val", "--trainer.max_steps")]
    assert places == sorted(places)
    assert len(out.splitlines()) < 40


def test_completion_knows_commands_presets_and_settings(said: dict[str, list], tmp_path: Path) -> None:
    for shell in ("bash", "zsh"):
        code, out, _, torch = said[f"completion {shell}"]
        assert (code, torch) == (0, False)
        assert all(words in out for words in (*COMMANDS, "--texture-size", "--texture.size", "epipolar-decoder"))
    (tmp_path / "epimesh").write_text(said["completion bash"][1])
    asked = 'COMP_WORDS=(epimesh run --forma) COMP_CWORD=2; _shtab_epimesh; echo "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "--norc", "-c", f"source ./epimesh; {asked}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "--formats" in done.stdout.split()


def test_help_and_mistakes_cost_less_than_a_cpu_second(tmp_path: Path) -> None:
    """Found .2 to .3; it was 2.5 to 9.5. The bound leaves room for slow machines."""
    for line in ("run --help", "run nothing.jpg", "train epipolar-decoder --help"):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "epimesh", *line.split()], cwd=tmp_path, capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1, line


@pytest.mark.parametrize(
    "typed",
    ["--formats glb obj", "--formats glb,obj", "--formats [glb,obj]", "--format glb obj", "--formats=glb,obj"],
)
def test_lists_are_typed_with_blanks_commas_or_brackets(
    typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    early = run.COMMAND.early([*typed.split(), "photo.jpg"])
    assert early is not None
    assert (early[0].formats, early[0].photo) == (["glb", "obj"], ["photo.jpg"])
    early = run.COMMAND.early([*typed.split(), "a.jpg", "photos/", "--seed", "3"])
    assert early is not None
    assert (early[0].formats, early[0].photo) == (["glb", "obj"], ["a.jpg", "photos/"])


def test_folders_with_commas_and_words_with_blanks_stay_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b").mkdir()
    assert with_lists(["--train", "a,b", "--rate", "-1"], ["--train"]) == ['--train=["a,b"]', "--rate", "-1"]
    assert with_lists(["--train", "my views", "x/y"], ["--train"]) == ['--train=["my views",x/y]']


def test_a_comment_that_zsh_passes_on_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version", "#", "which", "one?"]) == 0
    assert capsys.readouterr().out.startswith("epimesh ")


def test_the_whole_help_calls_nothing_required_that_presets_fill() -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        main(["reconstruct", "--help-all"])
    text = out.getvalue()
    assert "--mesh CONFIG" in text or "--mesh MESH" in text
    assert "--views VIEWS" not in text
    assert text.count("required") == 1  # the folder
