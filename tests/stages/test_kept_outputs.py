"""What the published generators make of small random weights is what it was when they matched their references.

The comparisons with reference implementations need files that are not part of the project. This one needs none: weights
are drawn from a seed, and the latents that whole stages made of them are kept beside this file. Another number at any
place of sampling, guidance, framing or attention shows. `python tests/stages/test_kept_outputs.py` makes the file anew.
"""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

HERE = Path(__file__).parent
KEPT = HERE / "kept_outputs.safetensors"
for room in (HERE, HERE / "syncdreamer"):
    if str(room) not in sys.path:
        sys.path.append(str(room))


def module(path: str) -> ModuleType:
    """A test module beside this one, for the small weights that it makes."""
    spec = importlib.util.spec_from_file_location(path.replace("/", "_").removesuffix(".py"), HERE / path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def seeded(folder: Path) -> None:
    """All weights of a folder from one seed, whatever drew them first. Nothing stays at zero."""
    random = torch.Generator().manual_seed(11)
    for file in sorted(folder.rglob("*.safetensors")):
        tensors = load_file(file)
        for name in sorted(tensors):
            if tensors[name].is_floating_point():
                drawn = torch.randn(tensors[name].shape, generator=random)
                around = 1.0 if "norm" in name and name.endswith("weight") else 0.0
                spread = 0.2 if tensors[name].dim() < 2 else tensors[name][0].numel() ** -0.5
                tensors[name] = around + spread * drawn
        save_file(tensors, file)


def zero123(folder: Path) -> Tensor:
    from published_folders import noisy_photo, save_zero123

    from epimesh.runtime import Runtime
    from epimesh.stages.zero123.stage import Zero123

    save_zero123(folder)
    seeded(folder)
    stage = Zero123(weights=str(folder), steps=4, views=2)
    polar = Zero123(weights=str(folder), steps=4, views=2, last_pose="polar", skip_noisiest=False)
    return torch.cat([one(noisy_photo(), runtime=Runtime("cpu")).latents for one in (stage, polar)])


def syncdreamer(folder: Path) -> Tensor:
    from published_folders import noisy_photo, save_shared_parts
    from tiny import tiny_denoiser

    from epimesh.runtime import Runtime
    from epimesh.stages.syncdreamer.stage import SyncDreamer

    denoiser = tiny_denoiser()
    denoiser.unet.save_pretrained(folder / "unet")
    denoiser.volume.save_pretrained(folder / "volume")
    save_shared_parts(folder)
    seeded(folder)
    stage = SyncDreamer(weights=str(folder), steps=4)
    harmony = {"guidance": 1.0, "photo_guidance": 2.0, "volume_guidance": 1.0, "channels_gain": 4.0}
    other = SyncDreamer(weights=str(folder), steps=2, **harmony)
    return torch.cat([one(noisy_photo(), runtime=Runtime("cpu")).latents for one in (stage, other)])


def wonder3d(folder: Path) -> Tensor:
    from published_folders import noisy_photo, save_shared_parts

    from epimesh.runtime import Runtime
    from epimesh.stages.wonder3d.stage import Wonder3D

    save_shared_parts(folder)
    module("wonder3d/test_wonder3d_stage.py").save_unet(folder / "unet")
    seeded(folder)
    made = Wonder3D(weights=str(folder), steps=4)(noisy_photo(), runtime=Runtime("cpu"))
    assert made.normals is not None
    return torch.cat([made.latents, made.normals])


def zero123plus(folder: Path) -> Tensor:
    from published_folders import noisy_photo

    from epimesh.runtime import Runtime
    from epimesh.stages.zero123plus.stage import Zero123Plus

    module("zero123plus/test_plus_stage.py").save(folder)
    seeded(folder)
    stage = Zero123Plus(weights=str(folder), steps=4, tile=64, photo_size=64)
    return stage(noisy_photo(), runtime=Runtime("cpu")).latents


MAKERS: dict[str, Callable[[Path], Tensor]] = {
    "zero123": zero123,
    "syncdreamer": syncdreamer,
    "wonder3d": wonder3d,
    "zero123plus": zero123plus,
}


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_a_whole_run_gives_the_latents_that_were_kept(name: str, tmp_path: Path) -> None:
    found, expected = MAKERS[name](tmp_path / name), load_file(KEPT)[name]
    assert found.shape == expected.shape
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-3


if __name__ == "__main__":
    with TemporaryDirectory() as made:
        save_file({name: maker(Path(made) / name).contiguous() for name, maker in MAKERS.items()}, KEPT)
