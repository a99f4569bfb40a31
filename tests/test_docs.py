"""The documentation keeps its word: code runs as it stands, and what it lists is what there is."""

import re
from pathlib import Path

import pytest

from epimesh.weights import BUNDLED
from epimesh.weights.published import PUBLISHED

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for folder in (ROOT, ROOT / "bench", DOCS) for path in folder.glob("*.md"))


@pytest.mark.parametrize("name", ["conventions.md"])
def test_every_code_block_of_a_page_runs_after_the_ones_before_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where examples write their files
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / name).read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) > 3
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, name, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_points_to_is_there(page: Path) -> None:
    text = page.read_text()
    linked = [page.parent / target.partition("#")[0] for target in re.findall(r"\]\((?!http)([^)#][^)]*)\)", text)]
    named = [
        ROOT / path
        for path in re.findall(r"\b(?:epimesh|bench|examples|tests|scripts)/[\w/-]+(?:\.py|/(?=[`\s]))", text)
    ]
    assert [path for path in linked + named if not path.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_presets_and_trainings_on_a_page_exist(page: Path) -> None:
    text, configs = page.read_text(), ROOT / "epimesh" / "configs"
    presets = set(re.findall(r"--preset ([\w-]+)(?![\w.-])", text)) - {"NAME"}
    trainings = set(re.findall(r"epimesh train ([a-z][\w-]+)", text))
    assert [name for name in presets if not (configs / "presets" / f"{name}.yaml").is_file()] == []
    assert [name for name in trainings if not (configs / "training" / f"{name}.yaml").is_file()] == []


def test_all_weights_are_listed_with_their_size_and_licence() -> None:
    page = (DOCS / "weights.md").read_text()
    rows = {
        cells[0]: cells
        for cells in re.findall(r"^\| `([\w-]+)` \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", page, re.MULTILINE)
    }
    assert set(rows) == {folder.name for folder in BUNDLED.iterdir() if folder.is_dir()} | set(PUBLISHED)
    for name, known in PUBLISHED.items():
        assert rows[name][1:4] == (f"`{known.file}`", str(known.gigabytes), str(known.converted_gigabytes))
        assert known.licence.partition(",")[0] in rows[name][4]
    for folder in BUNDLED.iterdir():
        if folder.is_dir():
            megabytes = (
                sum(file.stat().st_size for file in folder.rglob("*") if file.suffix in (".safetensors", ".onnx")) / 1e6
            )
            assert float(rows[folder.name][2]) == pytest.approx(megabytes, abs=0.06)


def test_every_benchmark_is_described() -> None:
    pages = "".join(page.read_text() for page in (ROOT / "bench").glob("*.md"))
    assert [file.name for file in (ROOT / "bench").glob("*.py") if file.name not in pages] == []
