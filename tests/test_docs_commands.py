"""Every command of README and docs reaches epimesh the same way from bash and zsh, and epimesh understands it."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from epimesh.cli import COMMANDS, data, reconstruct, run
from epimesh.cli.pipeline_options import PipelineCommand
from epimesh.cli.shard import Shard
from epimesh.cli.train import CONFIGS
from epimesh.cli.training_options import check_typed, training_source, with_out, with_typed_lists
from epimesh.errors import BadInput

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Stands in the place of epimesh and tells which words have reached it.
TELLS = """#!/bin/sh
python3 -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$@" >> "$TOLD"
"""


def commands_of(page: Path) -> list[str]:
    """Lines that begin with epimesh, in blocks of code; continued lines are joined, and nothing is imagined."""
    text = page.read_text().replace("\\\n", " ")
    found = re.findall(r"^(?:    )?(epimesh [a-z][^\n]*)$", text, re.MULTILINE)
    return [one for one in found if one.split()[1] in COMMANDS and "..." not in one and "| " not in one]


COMMAND_LINES = sorted({(page.name, command) for page in PAGES for command in commands_of(page)})


def words_from(shell: str, commands: list[str], folder: Path) -> list[list[str]]:
    """What epimesh is given when these commands are typed, one after the other, where no file fits any pattern."""
    folder.mkdir()
    program = folder / "epimesh"
    program.write_text(TELLS)
    program.chmod(0o755)
    arguments = [shell, "-f"] if shell == "zsh" else [shell, "--norc"]
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "TOLD": str(folder / "told")}
    done = subprocess.run(
        [*arguments, "-c", "\n".join(commands)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return [json.loads(line) for line in (folder / "told").read_text().splitlines()]


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Words by command line, as bash passes them."""
    commands = [command for _, command in COMMAND_LINES]
    return dict(zip(commands, words_from("bash", commands, tmp_path_factory.mktemp("shells") / "bash"), strict=True))


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed: apt-get install zsh")
def test_zsh_passes_on_the_same_words_as_bash(typed: dict[str, list[str]], tmp_path: Path) -> None:
    assert words_from("zsh", list(typed), tmp_path / "zsh") == list(typed.values())


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed: apt-get install zsh")
def test_zsh_would_refuse_brackets_and_the_pages_have_none(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    refused = subprocess.run(
        ["zsh", "-f", "-c", "echo --formats [glb,obj]"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "no matches found" in refused.stderr
    for page in PAGES:
        assert not re.findall(r"^[^`#]*\s\[[\w/,-]+\]\s", "\n".join(commands_of(page)), re.MULTILINE), page


def test_there_are_commands_to_try() -> None:
    assert len(COMMAND_LINES) > 60
    assert {"README.md", "training.md", "eight-gpus.md"} <= {page for page, _ in COMMAND_LINES}


@pytest.mark.parametrize(("page", "command"), COMMAND_LINES, ids=lambda value: value[:70])
def test_epimesh_understands_a_command_of_the_pages(
    page: str, command: str, typed: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options and settings are there, and values of the right kind; files and weights need not be."""
    monkeypatch.chdir(tmp_path)
    name, *words = typed[command]
    if name in ("run", "reconstruct"):
        _understood_by_pipeline(run.COMMAND if name == "run" else reconstruct.COMMAND, words)
    elif name == "train" and words:
        _understood_by_training(words)
    elif name == "data":
        assert Shard.parsed(data._parser().parse_args(words).shard).count >= 1
    else:
        assert name in COMMANDS


def _understood_by_pipeline(command: PipelineCommand, words: list[str]) -> None:
    if any(word.endswith(".help") for word in words):
        return
    presets = [words[place + 1] for place, word in enumerate(words) if word == "--preset"]
    if any(preset.endswith(".yaml") for preset in presets):
        return  # a file that the page asks its reader to write
    early = command.early(words)
    assert early is None or early[0] is not None


def _understood_by_training(words: list[str]) -> None:
    if words[0] == "CONFIG":
        return
    source = training_source(CONFIGS / f"{words[0]}.yaml")
    check_typed(with_out(with_typed_lists(words[1:], source), source), source, words[0])


def test_a_command_that_a_page_should_not_have_is_found() -> None:
    with pytest.raises(BadInput, match=r"Did you mean --views\.size"):
        _understood_by_pipeline(run.COMMAND, ["chair.jpg", "--views.sise", "3"])
    with pytest.raises(BadInput, match=r"Did you mean --data\.train"):
        _understood_by_training(["epipolar-decoder", "--data.trian", "x"])
