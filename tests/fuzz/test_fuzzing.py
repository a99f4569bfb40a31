"""Whatever a file holds, reading it gives a valid result or one of the project's own errors, in bounded time and room.

`python -m pytest tests/fuzz -m slow -s` tries 20,000 cases and prints a table of what came of them.
"""

import contextlib
import json
import random
import sys
import time
import zlib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from targets import TARGETS, Target

from epimesh.data.posed.posed_views import read_capture
from epimesh.errors import BadInput, EpimeshError
from epimesh.pipeline.preset_file import check_preset

resource = pytest.importorskip("resource", reason="Windows does not tell what a process held")

QUICK, THOROUGH = 14, 1112  # cases per target: about 250 and 20,000 in all
SECONDS, BYTES = 10.0, 1_500_000_000  # of one case; added by all cases of a target

SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
TREE = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
)


def tried(target: Target, folder: Path, cases: int, first: int = 0) -> Counter[str]:
    """How many damaged files were read all the same, and how many refused; anything else raises."""
    target.prepare(folder)
    path = folder / target.name
    source = path if path.is_file() else path.with_suffix(".jpeg")
    good = source.read_bytes()
    assert target.read(path) is not None
    outcomes: Counter[str] = Counter()
    for number in range(first, first + cases):
        dice = random.Random(zlib.crc32(f"{target.name} {number}".encode()))
        source.write_bytes(target.mutate(good, dice))
        started = time.process_time()
        said = refusal(target, path, number)
        outcomes["valid" if said is None else "refused"] += 1
        assert said is None or 0 < len(said.strip()) < 3000
        assert time.process_time() - started < SECONDS, f"case {number} of {target.name}"
        if not source.is_file():
            target.prepare(folder)
    return outcomes


def refusal(target: Target, path: Path, number: int) -> str | None:
    """What the project's own error says, or None where the file was read."""
    try:
        target.read(path)
    except EpimeshError as error:
        return str(error)
    except Exception as error:
        raise AssertionError(f"case {number} of {target.name}") from error
    return None


def held() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_damaged_files_are_read_or_refused(target: Target, tmp_path: Path) -> None:
    before = held()
    assert tried(target, tmp_path, QUICK).total() == QUICK
    assert held() - before < BYTES
    assert not list(tmp_path.parent.glob("*evil*"))


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_twenty_thousand_damaged_files_are_read_or_refused(target: Target, tmp_path: Path) -> None:
    before = held()
    found = tried(target, tmp_path, THOROUGH, first=QUICK)
    sys.stdout.write(f"| {target.name} | {found.total()} | {found['valid']} | {found['refused']} |\n")
    assert held() - before < BYTES
    assert not list(tmp_path.parent.glob("*evil*"))


@settings(max_examples=30, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(tree=TREE, key=st.sampled_from(["frames", "fl_x", "camera_model", "k1", "w", "is_fisheye", "camera_angle_x"]))
def test_any_json_in_the_place_of_cameras_is_refused_or_read(
    tree: object, key: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "transforms.json").write_text(
        json.dumps({"frames": [{"file_path": "a", "transform_matrix": tree}], key: tree})
    )
    with pytest.raises(BadInput):
        read_capture(folder)


@settings(max_examples=30, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.text(max_size=60) | st.builds(json.dumps, TREE))
def test_any_text_in_the_place_of_a_preset_is_refused_or_plain(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "preset.yaml"
    path.write_bytes(text.encode("utf-8", errors="surrogatepass"))
    with contextlib.suppress(BadInput):
        check_preset(path)
