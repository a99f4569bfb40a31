"""Old names work for one release, and outputs that were saved under them are found again."""

from importlib import import_module
from pathlib import Path

import pytest
import tiny_stages

from epimesh import stages
from epimesh.cli import main
from epimesh.pipeline.fingerprint import fingerprint
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.pipeline.parser import pipeline_from
from epimesh.pipeline.renamed import CLASSES, key_path, public_path
from epimesh.reconstruction import NeuS, VisualHull
from epimesh.stages import SmallZero123, Zero123


@pytest.mark.parametrize("path", [path for path in CLASSES.values() if "." in path])
def test_every_old_name_leads_to_a_class_that_exists(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert isinstance(getattr(import_module(module), name), type)


def test_an_old_class_path_in_a_preset_still_means_the_same_stage(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("views: {class_path: epimesh.stages.zero123.generator.Zero123}")
    with pytest.warns(FutureWarning, match=r"epimesh\.stages\.SmallZero123"):
        assert isinstance(ImageTo3D.from_preset("small", str(tmp_path / "mine.yaml")).views, SmallZero123)


def test_an_old_class_name_on_the_command_line_and_in_python_still_works() -> None:
    arguments = ["--preset=zero123-xl", "--views", "PublishedZero123", "--views.steps=20"]
    with pytest.warns(FutureWarning, match="Zero123"):
        views = pipeline_from(ImageTo3D, arguments).views
    assert isinstance(views, Zero123)
    assert views.steps == 20
    with pytest.warns(FutureWarning, match="Zero123"):
        assert stages.PublishedZero123 is Zero123


def test_an_old_preset_is_found_and_the_warning_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warnings.filters", [])
    assert main(["presets", "zero123-hero"]) == 0
    # Libraries that are imported meanwhile may warn of other things.
    warned = [line for line in capsys.readouterr().err.splitlines() if "is called" in line]
    assert warned == [
        "FutureWarning: 'zero123-hero' is called 'zero123-small-hero' now; the old name works until the next release."
    ]


def test_a_stage_is_known_by_where_it_is_offered_not_by_where_it_lies() -> None:
    assert public_path(SmallZero123) == "epimesh.stages.SmallZero123"
    assert public_path(tiny_stages.Ball) == "tiny_stages.Ball"
    assert key_path(SmallZero123) == "epimesh.stages.zero123.generator.Zero123"


@pytest.mark.parametrize(
    ("stage", "key"),
    [
        (NeuS(), "468849c359943d2d"),
        (VisualHull(), "a7b35309a60f6ae8"),
    ],
    ids=lambda part: type(part).__name__,
)
def test_keys_of_saved_outputs_stay_until_a_version_or_a_setting_changes(stage: object, key: str) -> None:
    # NeuS is at version 3 and VisualHull at 2: what they make has changed, so older outputs are made again.
    assert fingerprint(stage)[:16] == key
