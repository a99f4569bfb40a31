"""The house stays in order: short functions and files, no absolute paths, a quick command line, one way of imports."""

import ast
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "epimesh").rglob("*.py"))
MAX_LINES_OF_FUNCTION = 60
MAX_LINES_OF_FILE = 350


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MAX_LINES_OF_FILE
    long = {
        node.name: (node.end_lineno or 0) - node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno > MAX_LINES_OF_FUNCTION
    }
    assert not long


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    paths = [path for folder in ("epimesh", "tests", "bench", "docs", ".ci") for path in (ROOT / folder).rglob("*")]
    paths += [path for path in ROOT.iterdir() if path.name != ".git"]  # in a second worktree it is a file
    kinds = {".py", ".yaml", ".md", ".toml", ".json", ".txt", ""}
    texts = [path for path in paths if path.suffix in kinds and path.is_file() and "node_modules" not in path.parts]
    assert len(texts) > 100
    machine = re.compile("/(work|home|root|Users|mnt)/")
    assert not [path for path in texts if machine.search(path.read_text(errors="ignore"))]


def test_every_module_has_its_layer() -> None:
    layers = re.search(r"^layers = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)
    assert layers is not None
    layered = set(re.findall(r"epimesh\.(\w+)", layers[1]))
    paths = [path for path in (ROOT / "epimesh").iterdir() if not path.name.startswith("_")]
    modules = {path.stem for path in paths if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert modules - layered == set()


def test_weights_that_ship_stay_within_60_megabytes() -> None:
    assert sum(path.stat().st_size for path in (ROOT / "epimesh" / "bundled").rglob("*")) < 60e6


def test_the_help_of_the_command_line_does_not_wait_for_torch() -> None:
    code = "import sys; from epimesh.cli import main; main(['--help']); assert 'torch' not in sys.modules"
    started = time.perf_counter()
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "epimesh run" in shown.stdout
    # Under a second on an idle machine; the generous limit only catches an accidental heavy import.
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize(
    ("command", "heavy"),
    [("main([])", "torch"), ("add_pipeline_arguments(ArgumentParser(), ImageTo3D)", "diffusers")],
    ids=["the list of presets", "the settings of all stages"],
)
def test_what_builds_no_network_does_not_wait_for_it(command: str, heavy: str) -> None:
    imports = "from jsonargparse import ArgumentParser\nfrom epimesh.cli.presets import main\n"
    if "ImageTo3D" in command:
        imports += "from epimesh.pipeline.image_to_3d import ImageTo3D\nfrom epimesh.pipeline.parser import *\n"
    imports += "import sys\n"
    subprocess.run([sys.executable, "-c", f"{imports}{command}\nassert '{heavy}' not in sys.modules"], check=True)


def test_any_tests_run_together_because_every_module_of_theirs_has_its_own_name() -> None:
    paths = [path for path in (ROOT / "tests").rglob("*.py") if "node_modules" not in path.parts]
    names = [path.stem for path in paths if path.stem != "conftest"]
    assert len(paths) > 50
    assert [name for name in names if names.count(name) > 1] == []
    assert [path for path in paths if re.search(r"^(from|import) conftest\b", path.read_text(), re.MULTILINE)] == []


def test_only_the_training_room_imports_lightning() -> None:
    importers = [path for path in SOURCES if "pytorch_lightning" in path.read_text()]
    rooms = {path.relative_to(ROOT / "epimesh").parts[0] for path in importers}
    assert rooms <= {"training", "cli"}


def test_what_the_package_offers_can_be_seen_before_it_is_used() -> None:
    import epimesh

    assert set(epimesh.__all__) <= set(dir(epimesh))
    assert (ROOT / "epimesh" / "py.typed").is_file()
