"""Presets of strangers: plain, small, and unable to say where results go."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_stages

from epimesh.cli import main
from epimesh.errors import BadInput
from epimesh.pipeline import presets
from epimesh.runtime import Runtime

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{name}: &{name} [{', '.join(f'*{before}' for _ in range(9))}]"
    for before, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (BOMB.encode(), "alias"),
        (b"read: &x [*x]", "alias"),
        (b"[" * 5000, "deep"),
        (b"\xff\xd8\xff\xe0 JFIF", "YAML"),
        (b"\0\0\0", "YAML"),
        (b"read: [", "YAML"),
        (b"- read", "mapping"),
        (b"", "mapping"),
        (b"out: /elsewhere", "not a preset's to say"),
        (b"json: true", "not a preset's to say"),
        (b"photo: /etc/passwd", "not a preset's to say"),
        (b"read: 1\n" * 100_000, "at most"),
    ],
    ids=["bomb", "itself", "deep", "photo", "NUL", "cut", "list", "empty", "out", "json", "photo of it", "large"],
)
def test_what_is_no_preset_is_refused_in_a_moment(
    tmp_path: Path, content: bytes, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "theirs.yaml"
    path.write_bytes(content)
    assert main(["run", "photo.jpg", "--preset", str(path)]) == 2
    said = capsys.readouterr().err
    assert word in said
    assert len(said) < 1500


def test_a_preset_with_the_mark_of_windows_editors_is_read(tmp_path: Path) -> None:
    path = tmp_path / "marked.yaml"
    path.write_text(tiny_stages.PRESET, encoding="utf-8-sig")
    assert presets.find(str(path)) == path


@pytest.mark.parametrize(
    "arguments",
    [
        ["--mesh.faces", "1000000000000"],
        ["--mesh.faces", "null"],
        ["--mesh.resolution", "null"],
        ["--decode.batch", "-1"],
        ["--decode.batch", "null"],
        ["--read.size", "null"],
        ["--read.fill", ".nan"],
        ["--device", "xpu"],
        ["--device", "foo"],
        ["--device", "meta"],
        ["--device", "cuda:x"],
        ["--out", "~nobody-of-this-name/x"],
        ["--preset", "~nobody-of-this-name/x"],
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_impossible_settings_are_refused_before_anything_is_made(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(b"photo")
    assert main(["run", "photo.jpg", "--decode", "VaeDecoder", *arguments]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


@pytest.mark.skipif(os.name == "nt", reason="Apple's device")
def test_a_device_of_another_machine_is_refused() -> None:
    with pytest.raises(BadInput, match="mps"):
        Runtime("mps")


def test_classes_of_the_folder_one_is_in_do_not_run(tmp_path: Path) -> None:
    """A preset and a module beside it, downloaded together: nothing of the module is executed."""
    (tmp_path / "evil.py").write_text("open('ran', 'w').close()\nclass Evil: pass\n")
    (tmp_path / "theirs.yaml").write_text("read: {class_path: evil.Evil}")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    root = Path(__file__).parent.parent.parent
    environment["PYTHONPATH"] = str(root)
    command = [sys.executable, "-m", "epimesh", "run", "photo.jpg", "--preset", "theirs.yaml"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps the folder one is in")
def test_a_working_folder_that_is_gone_gets_a_sentence(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    program = (
        "import os, sys; os.rmdir(os.getcwd()); from epimesh.cli import main; sys.exit(main(['run', 'photo.jpg']))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=gone, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_is_full_gets_a_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "epimesh", "presets"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_names_that_a_code_page_lacks_are_written_as_escapes(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "epimesh", "run", "椅子.jpg"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"\\u6905" in done.stderr
    assert b"Traceback" not in done.stderr
