"""Every key of the published full-size checkpoints has its place, and what does not fit is refused by name."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.conversion.convert import Plan, plan_syncdreamer, plan_zero123, write
from epimesh.diffusion.schedules import NoiseSchedule
from epimesh.errors import BadWeights

ORACLES = Path(os.environ.get("EPIMESH_ORACLES", Path(__file__).parents[3] / "shared" / "oracles"))
PLANS: dict[str, Callable[[dict[str, Tensor], str], Plan]] = {"syncdreamer": plan_syncdreamer, "zero123": plan_zero123}


def full_size(name: str) -> dict[str, Tensor]:
    """All published names and shapes; the values are one number, which takes no memory."""
    listed = ORACLES / f"full_keys_{name}.json"
    if not listed.is_file():
        pytest.skip(f"no list of keys at {listed}; set EPIMESH_ORACLES to the folder that holds it")
    shapes = {key: shape for key, (shape, _) in json.loads(listed.read_text()).items()}
    tensors = {key: torch.tensor(0.25).expand(shape) for key, shape in shapes.items()}
    tensors["alphas_cumprod"] = NoiseSchedule.scaled_linear().alphas_cumprod.float()
    if name == "syncdreamer":
        ring = Cameras.ring(size=256)
        tensors |= {"poses": ring.world_to_camera[:, :3], "Ks": ring.intrinsics, "azimuth": torch.arange(16) * 0.3927}
    return tensors


@pytest.fixture(scope="module", params=sorted(PLANS))
def model(request: pytest.FixtureRequest) -> tuple[str, dict[str, Tensor]]:
    return request.param, full_size(request.param)


def test_every_key_of_the_full_size_model_is_accounted_for(model: tuple[str, dict[str, Tensor]]) -> None:
    name, tensors = model
    plan = PLANS[name](tensors, "full size")
    left = plan.left.keys() & tensors.keys()
    assert plan.converted | left == tensors.keys()
    assert not plan.converted & left
    numbers = sum(tensors[key].numel() for key in plan.converted)
    made = sum(parameter.numel() for part in plan.parts for parameter in part.model.parameters())
    assert made == numbers


def test_a_missing_key_an_unknown_one_and_a_wrong_shape_are_named(model: tuple[str, dict[str, Tensor]]) -> None:
    name, tensors = model
    key = "model.diffusion_model.input_blocks.4.0.in_layers.2.weight"
    if name == "zero123":
        key = "model_ema.diffusion_modelinput_blocks40in_layers2weight"
    gone = key.replace("in_layers2", "out_layers3").replace("in_layers.2", "out_layers.3")
    told = "lacks 1 tensors: model_ema" if name == "zero123" else r"missing .*resnets\.0\.conv2\.weight"
    with pytest.raises(BadWeights, match=told):
        PLANS[name]({other: tensor for other, tensor in tensors.items() if other != gone}, "checkpoint")
    with pytest.raises(BadWeights, match=r"do not have: model\.extra"):
        PLANS[name]({**tensors, "model.extra": torch.zeros(1)}, "checkpoint")
    with pytest.raises(BadWeights, match=r"down_blocks\.1\.resnets\.0\.conv1\.weight \(640, 320, 1, 3\)"):
        PLANS[name]({**tensors, key: tensors[key][:, :, :1]}, "checkpoint")


def test_a_checkpoint_of_another_model_is_told_so(model: tuple[str, dict[str, Tensor]]) -> None:
    name, tensors = model
    other = "zero123" if name == "syncdreamer" else "syncdreamer"
    with pytest.raises(BadWeights, match="SyncDreamer checkpoint"):
        PLANS[other](tensors, "checkpoint")
    with pytest.raises(BadWeights, match="2 tensors"):
        PLANS[name]({"layer.weight": torch.zeros(2), "layer.bias": torch.zeros(2)}, "checkpoint")


def test_another_noise_schedule_is_refused(model: tuple[str, dict[str, Tensor]]) -> None:
    name, tensors = model
    with pytest.raises(BadWeights, match="noise schedule has 1000 times"):
        PLANS[name]({**tensors, "alphas_cumprod": tensors["alphas_cumprod"] * 0.9}, "checkpoint")


def test_without_moving_averages_the_raw_weights_are_taken() -> None:
    tensors = {key: tensor for key, tensor in full_size("zero123").items() if not key.startswith("model_ema.")}
    plan = plan_zero123(tensors, "checkpoint")
    assert "model.diffusion_model.out.2.weight" in plan.converted


@pytest.mark.slow
def test_a_full_size_checkpoint_becomes_folders_of_every_part(tmp_path: Path) -> None:
    tensors = full_size("syncdreamer")
    plan = plan_syncdreamer(tensors, "full size")
    write(plan, tensors, tmp_path / "out", "card", torch.float16)
    for part in plan.parts:
        (file,) = (tmp_path / "out" / part.folder).glob("*.safetensors")
        with safe_open(file, "pt") as stored:
            assert set(stored.keys()) == set(part.model.state_dict())
            assert float(stored.get_tensor(next(iter(stored.offset_keys()))).flatten()[0]) == 0.25
