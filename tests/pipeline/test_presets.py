"""Presets and overrides: layers, plug-ins by class path, and mistakes that say what is wrong."""

import sys
from pathlib import Path

import pytest
import tiny_stages

from epimesh.decoders import VaeDecoder
from epimesh.errors import BadInput
from epimesh.pipeline import presets
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.pipeline.parser import pipeline_from
from epimesh.reconstruction import NeuS, VisualHull


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(tiny_stages.PRESET)
    return str(path)


@pytest.mark.parametrize("name", presets.names())
def test_every_shipped_preset_describes_a_pipeline_and_says_what_it_is_for(name: str) -> None:
    assert isinstance(ImageTo3D.from_preset(name), ImageTo3D)
    assert len(presets.description(name)) > 20


def test_a_stage_outside_the_package_is_used_by_class_path(tiny: str) -> None:
    pipeline = ImageTo3D.from_preset(tiny)
    assert isinstance(pipeline.decode, tiny_stages.PixelDecoder)
    assert "tiny_stages" in sys.modules


def test_a_dotted_override_changes_one_setting(tiny: str) -> None:
    assert pipeline_from(ImageTo3D, ["--decode.gain=0.25", "--preset", tiny]).decode.gain == 0.25


def test_one_stage_is_swapped_by_its_class_path(tiny: str, tmp_path: Path) -> None:
    pipeline = pipeline_from(ImageTo3D, [f"--preset={tiny}", "--read=epimesh.stages.CutOut"])
    assert type(pipeline.read).__name__ == "CutOut"
    assert isinstance(pipeline.decode, tiny_stages.PixelDecoder)


def test_later_presets_override_earlier_ones(tiny: str, tmp_path: Path) -> None:
    tweak = tmp_path / "tweak.yaml"
    tweak.write_text("decode: {class_path: tiny_stages.PixelDecoder, init_args: {gain: 0.5}}")
    assert pipeline_from(ImageTo3D, [f"--preset={tiny}", f"--preset={tweak}"]).decode.gain == 0.5


def test_another_stage_does_not_inherit_the_settings_of_the_one_it_replaces(tmp_path: Path) -> None:
    """Both have `weights`; those of the preset's decoder say nothing to another one."""
    assert pipeline_from(ImageTo3D, ["--preset=small", "--decode", "VaeDecoder"]).decode == VaeDecoder()
    layer = tmp_path / "plain.yaml"
    layer.write_text("decode: {class_path: epimesh.decoders.VaeDecoder}")
    assert pipeline_from(ImageTo3D, ["--preset=small", f"--preset={layer}"]).decode == VaeDecoder()
    given = '--decode={"class_path": "VaeDecoder", "init_args": {"batch": 2}}'
    assert pipeline_from(ImageTo3D, [given]).decode == VaeDecoder(batch=2)


def test_a_stage_within_a_stage_is_replaced_in_the_same_way() -> None:
    decode = pipeline_from(ImageTo3D, ["--preset=small", "--decode.depth.reconstruct=VisualHull"]).decode
    assert decode.depth.reconstruct == VisualHull()
    assert decode.weights == "bundled:epipolar-small"  # of the stage around it, which stays


def test_the_same_class_again_keeps_the_settings_of_the_preset() -> None:
    plain = pipeline_from(ImageTo3D, ["--preset=small"])
    assert pipeline_from(ImageTo3D, ["--preset=small", "--decode=SmallEpipolarDecoder"]) == plain


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--decode.gain=lots"], "gain"),
        (["--decode.gian=1"], "gian"),
        (["--decode=tiny_stages.Ball"], "decode"),
        (["--decode=nowhere.AtAll"], "nowhere"),
        (["--unheard=1"], "unheard"),
    ],
    ids=["wrong type", "unknown setting", "stage of another slot", "no such module", "unknown key"],
)
def test_a_mistake_is_named(tiny: str, arguments: list[str], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        pipeline_from(ImageTo3D, [f"--preset={tiny}", *arguments])


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(BadInput, match="small"):
        pipeline_from(ImageTo3D, ["--preset=larger"])


def test_a_file_that_is_not_a_preset_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("read: [unclosed")
    with pytest.raises(BadInput):
        pipeline_from(ImageTo3D, [f"--preset={path}"])


def test_a_mistake_in_an_optional_slot_is_named_too(tiny: str, tmp_path: Path) -> None:
    (tmp_path / "refined.yaml").write_text("refine: {class_path: tiny_stages.Picky, init_args: {strength: -1}}")
    with pytest.raises(BadInput, match="strength is -1"):
        ImageTo3D.from_preset(tiny, str(tmp_path / "refined.yaml"))


def test_given_views_count_their_colours_in_full_and_imagined_ones_a_tenth() -> None:
    assert ImageTo3D.from_preset("posed").reconstruct == NeuS(color_weight=1.0)
    assert ImageTo3D.from_preset("small").reconstruct == NeuS(color_weight=0.1)
