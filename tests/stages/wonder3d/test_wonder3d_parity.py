"""Wonder3D at reduced sizes: tensors of the reference within the stated tolerance, and all keys at full size."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from parity import check, check_places
from PIL import Image, ImageOps
from safetensors.torch import load_file, save_file
from torch import Tensor

from epimesh.diffusion.autoencoder import KlAutoencoder
from epimesh.diffusion.sampler import Ddim
from epimesh.diffusion.schedules import NoiseSchedule, uniform_timesteps
from epimesh.photo import Photo
from epimesh.stages.shared.photo_token import framed_on_white
from epimesh.stages.wonder3d import rig
from epimesh.stages.wonder3d.network import cross_domain_unet, load_unet
from epimesh.stages.wonder3d.stage import Told, clip_pixels, denoiser, eight_bit, seen

ORACLES = Path(os.environ.get("EPIMESH_ORACLES", Path(__file__).parents[4] / "shared" / "oracles"))
KEPT_PLACES = "38c6bedcbb62126e4d5135395109553ee96e08cb0f69d67d7526acfb5356b0da"


@dataclass(frozen=True, eq=False)
class Reference:
    folder: Path
    config: dict[str, Any]
    given: dict[str, Tensor]
    expected: dict[str, Tensor]
    unet: UNet2DConditionModel
    vae: KlAutoencoder
    encoder: Any

    def check(self, name: str, found: Tensor, step: int | None = None, *, within: float) -> None:
        expected = self.expected[name] if step is None else self.expected[name][step]
        check(f"wonder3d {name}" + ("" if step is None else f" {step}"), found, expected, within=within)

    def told(self, *, objects: int = 1, rounded: bool = False) -> Told:
        latents, token = self.expected["vae.image_latent"], self.expected["clip.embed"]
        if objects == 2:
            latents, token = self.expected["two.image_latent"], self.expected["two.clip_embed"]
        views = rig.VIEWS
        return Told(
            latents.repeat_interleave(views, dim=0).repeat(2, 1, 1, 1),
            token.repeat_interleave(views, dim=0).repeat(2, 1, 1),
            rig.labels(rig.told(objects, rounded=rounded)),
        )


def weights(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor.float() for name, tensor in tensors.items() if name.startswith(prefix)}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    folder = ORACLES / "wonder3d"
    if not folder.is_dir():
        pytest.skip(f"no reference outputs at {folder}; set EPIMESH_ORACLES to the folder that holds wonder3d/")
    config, tensors = json.loads((folder / "config.json").read_text()), load_file(folder / "weights.safetensors")
    unet = tmp_path_factory.mktemp("wonder3d") / "unet"
    unet.mkdir()
    (unet / "config.json").write_text(json.dumps({"_class_name": "UNetMV2DConditionModel", **config["unet"]}))
    save_file(weights(tensors, "unet."), unet / "diffusion_pytorch_model.safetensors")
    vae = AutoencoderKL(**config["vae"])
    vae.load_state_dict(weights(tensors, "vae."))
    encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(**config["image_encoder"])).eval().requires_grad_(False)
    encoder.load_state_dict(weights(tensors, "image_encoder."))
    given, expected = load_file(folder / "inputs.safetensors"), load_file(folder / "outputs.safetensors")
    return Reference(folder, config, given, expected, load_unet(unet), KlAutoencoder(vae), encoder)


def picture(reference: Reference) -> Image.Image:
    return Image.open(reference.folder / "input.png").convert("RGBA")


def test_the_photo_as_it_is_shown(reference: Reference) -> None:
    config = reference.config
    framed = framed_on_white(picture(reference), config["image_size"], config["crop_size"])
    reference.check("prep.image_hwc", framed.permute(1, 2, 0), within=1e-6)
    margins = framed_on_white(picture(reference), config["image_size"], -1)
    reference.check("prep.nocrop_every2", margins.permute(1, 2, 0)[::2, ::2], within=1e-6)
    pixels = eight_bit(framed)
    assert torch.equal(torch.from_numpy(pixels)[None], reference.expected["cond.image_u8"])
    reference.check("clip.pixels_every4", clip_pixels(pixels)[..., ::4, ::4], within=1e-5)
    latents, token = seen(pixels, reference.vae, reference.encoder)
    reference.check("vae.image_latent", latents, within=1e-4)
    reference.check("clip.embed", token, within=1e-4)
    mirrored = eight_bit(
        framed_on_white(ImageOps.mirror(picture(reference)), config["image_size"], config["crop_size"])
    )
    latents, token = seen(mirrored, reference.vae, reference.encoder)
    check("wonder3d two.image_latent", latents, reference.expected["two.image_latent"][1:], within=1e-4)
    check("wonder3d two.clip_embed", token, reference.expected["two.clip_embed"][1:], within=1e-4)


def test_what_the_network_is_told_of_cameras_and_domains(reference: Reference) -> None:
    numbers = rig.told()
    reference.check("cond.camera_task", numbers, within=1e-6)
    reference.check("class_labels", rig.labels(numbers), within=1e-6)
    reference.check("two.camera_task", rig.told(2), within=1e-6)
    assert torch.equal(rig.told(rounded=True), reference.expected["fixed.camera_task"])
    reference.check("fixed.class_labels", rig.labels(rig.told(rounded=True)), within=1e-6)


def test_every_part_of_the_traced_blocks(reference: Reference) -> None:
    level, number = reference.config["trace_down"]
    unet, kept = reference.unet, {}
    blocks = {
        "down": unet.down_blocks[level].attentions[number].transformer_blocks[0],
        "mid": unet.mid_block.attentions[0].transformer_blocks[0],
    }
    handles = []
    for place, block in blocks.items():
        for name in ("norm1", "norm_joint_mid", "norm2", "norm3", "attn2", "ff"):
            hook = lambda _, __, out, key=f"trace.{place}.{name}": kept.__setitem__(key, out)  # noqa: E731
            handles.append(getattr(block, name).register_forward_hook(hook))
        hook = lambda _, __, out, key=f"trace.{place}.out": kept.__setitem__(key, out)  # noqa: E731
        handles.append(block.register_forward_hook(hook))
    told, time = reference.told(), int(reference.given["timestep"])
    with torch.no_grad():
        found = denoiser(unet, told, 1.0)(reference.given["x_T"], time)
    for handle in handles:
        handle.remove()
    for name, tensor in kept.items():
        reference.check(name, tensor, within=1e-4)
    reference.check("eps", found, within=1e-4)


def test_two_objects_do_not_see_each_other(reference: Reference) -> None:
    time = int(reference.given["timestep"])
    with torch.no_grad():
        found = denoiser(reference.unet, reference.told(objects=2), 1.0)(reference.given["two.x_T"], time)
    reference.check("two.eps", found, within=1e-4)


def test_guidance_keeps_the_branches_apart(reference: Reference) -> None:
    time, x = int(reference.given["timestep"]), reference.given["x_T"]
    with torch.no_grad():
        without = denoiser(reference.unet, reference.told(), 0.0)(x, time)
        given = denoiser(reference.unet, reference.told(), 1.0)(x, time)
    reference.check("cfg.eps_uncond", without, within=1e-4)
    reference.check("cfg.eps_cond", given, within=1e-4)


def sampled(
    reference: Reference, guidance: float, times: list[int], eta: float, told: Told, noise: Tensor
) -> list[Tensor]:
    """The latents after every one of the times."""
    x, steps = reference.given["x_T"], []
    scheduler = reference.config["scheduler"]
    schedule = NoiseSchedule.scaled_linear(
        1000, first=scheduler["beta_start"], last=scheduler["beta_end"], ends_clean=False
    )
    following = [*times[1:], None]
    for number, time in enumerate(times[: len(noise)]):
        one = Ddim(schedule=schedule, timesteps=[time], eta=eta, until=following[number])
        with torch.no_grad():
            x = one(denoiser(reference.unet, told, guidance), x, generator=lambda like, z=noise[number]: z)
        steps.append(x)
    return steps


def test_sampling_step_by_step(reference: Reference) -> None:
    config, told = reference.config, reference.told()
    times = list(uniform_timesteps(config["steps"], spacing="leading"))
    assert times == reference.expected["ddim.timesteps"].tolist()
    noise = reference.given["ddim.noise"]
    for number, x in enumerate(sampled(reference, config["guidance_scale"], times, config["eta"], told, noise)):
        reference.check(f"ddim.x{number}", x, within=2e-4)
    (x,) = sampled(reference, 1.0, times, config["eta"], told, noise[:1])
    reference.check("ddim.scale1.x0", x, within=1e-4)
    (x,) = sampled(reference, 1.0, times, 0.0, reference.told(rounded=True), noise[:1])
    reference.check("fixed.x0", x, within=1e-4)


def test_a_whole_short_run_and_what_it_decodes_to(reference: Reference) -> None:
    config = reference.config
    times = reference.expected["short.timesteps"].tolist()
    steps = sampled(
        reference, config["guidance_scale"], times, config["eta"], reference.told(), reference.given["short.noise"]
    )
    reference.check("short.x", torch.stack(steps), within=2e-4)
    rows = steps[-1][[0, rig.VIEWS + 1]]
    with torch.no_grad():
        images = reference.vae.network.decode(rows / config["vae"]["scaling_factor"]).sample
    reference.check("short.decoded_every2", images[..., ::2, ::2], within=2e-4)


def test_every_key_of_the_full_size_network_is_accounted_for() -> None:
    config = {
        "sample_size": 32,
        "in_channels": 8,
        "out_channels": 4,
        "block_out_channels": [320, 640, 1280, 1280],
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": 10,
        "down_block_types": ["CrossAttnDownBlockMV2D"] * 3 + ["DownBlock2D"],
        "mid_block_type": "UNetMidBlockMV2DCrossAttn",
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlockMV2D"] * 3,
        "num_views": 6,
        "cd_attention_mid": True,
        "multiview_attention": True,
        "cd_attention_last": False,
        "sparse_mv_attention": False,
        "mvcd_attention": False,
    }
    with torch.device("meta"):
        unet = cross_domain_unet(config)
    check_places(unet, ORACLES / "full_keys_wonder3d_unet.json", KEPT_PLACES)
    assert len(unet.state_dict()) == 802
    assert sum(parameter.numel() for parameter in unet.parameters()) == 910_785_284


def test_normals_of_a_view_in_the_frame_of_the_photo(reference: Reference) -> None:
    """Our six cameras turn them as the reference's pose files do."""
    photo = Photo(torch.ones(4, 8, 8), 0.0, 49.1)
    turned = rig.cameras(photo, 8, 0.75).world_to_camera[:, :3, :3].double()
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    to_front = torch.einsum("ij,vkj->vik", flip @ turned[0], flip @ turned)
    found = torch.einsum("vij,vhwj->vhwi", to_front, reference.given["normals.view_frame"].double())
    reference.check("normals.in_front_frame", found, within=1e-5)
