"""The published Zero-1-to-3 at reduced sizes: every tensor of the reference within the stated tolerance."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from parity import check
from safetensors.torch import load_file
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.conversion.convert import Unstated, plan_zero123, write
from epimesh.diffusion.autoencoder import load_kl_autoencoder
from epimesh.diffusion.guidance import Branch, DecomposedGuidance, Term
from epimesh.diffusion.sampler import Ddim
from epimesh.diffusion.schedules import NoiseSchedule
from epimesh.diffusion.stored_schedule import load_eps_schedule
from epimesh.stages.shared.photo_token import PhotoToken, clip_pixels
from epimesh.stages.zero123.network import GROUPS, PhotoAndPose, known, predictions, published_timesteps
from epimesh.weights.loading import load_image_encoder, load_part

ORACLES = Path(os.environ.get("EPIMESH_ORACLES", Path(__file__).parents[4] / "shared" / "oracles"))
UNCONDITIONAL = Branch(frozenset(GROUPS))


@dataclass(frozen=True, eq=False)
class Reference:
    config: dict[str, Any]
    given: dict[str, Tensor]
    expected: dict[str, Tensor]
    averaged: Path
    raw: Path

    def check(self, name: str, found: Tensor, step: int | None = None, *, within: float) -> None:
        expected = self.expected[name] if step is None else self.expected[name][step]
        check(f"zero123 {name}" + ("" if step is None else f" {step}"), found, expected, within=within)

    def poses(self) -> Tensor:
        polar, azimuth, radius = torch.tensor(self.config["poses_deg"]).T
        return torch.stack(
            [torch.deg2rad(polar), torch.deg2rad(azimuth).sin(), torch.deg2rad(azimuth).cos(), radius], 1
        )


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = ORACLES / "zero123"
    if not folder.is_dir():
        pytest.skip(f"no reference outputs at {folder}; set EPIMESH_ORACLES to the folder that holds zero123/")
    config = json.loads((folder / "config.json").read_text())
    unstated = Unstated(
        heads=config["num_heads"], latent_size=config["image_size"] // 8, scaling=config["vae"]["scale_factor"]
    )
    tensors = load_file(folder / "weights.safetensors")
    out = tmp_path_factory.mktemp("converted")
    for name in ("averaged", "raw"):
        plan = plan_zero123(tensors, "oracle", unstated, raw=name == "raw")
        write(plan, tensors, out / name, "", torch.float32)
    given, expected = load_file(folder / "inputs.safetensors"), load_file(folder / "outputs.safetensors")
    return Reference(config, given, expected, out / "averaged", out / "raw")


@pytest.fixture(scope="module")
def told(reference: Reference) -> PhotoAndPose:
    parts = reference.averaged
    vae, encoder = load_kl_autoencoder(parts / "vae").network, load_image_encoder(parts / "image_encoder")
    token = load_part(PhotoToken, parts / "photo_token")
    with torch.no_grad():
        return known(reference.given["image_bchw"], reference.poses(), vae, encoder, token)


@pytest.fixture(scope="module")
def averaged(reference: Reference) -> UNet2DConditionModel:
    return load_part(UNet2DConditionModel, reference.averaged / "unet")


@pytest.fixture(scope="module")
def raw(reference: Reference) -> UNet2DConditionModel:
    return load_part(UNet2DConditionModel, reference.raw / "unet")


def test_autoencoder_and_clip(reference: Reference) -> None:
    image = reference.given["image_bchw"]
    vae = load_kl_autoencoder(reference.averaged / "vae").network
    with torch.no_grad():
        posterior = vae.encode(image).latent_dist
        decoded = vae.decode(reference.given["vae.z"] / reference.config["vae"]["scale_factor"]).sample
        embedding = load_image_encoder(reference.averaged / "image_encoder")(clip_pixels(image)).image_embeds
    reference.check("vae.moments", posterior.parameters, within=1e-4)
    reference.check("vae.mode_unscaled", posterior.mode(), within=1e-4)
    reference.check("vae.decoded", decoded, within=1e-4)
    reference.check("clip.preprocessed_every4", clip_pixels(image)[..., ::4, ::4], within=1e-5)
    reference.check("clip.embed", embedding[:, None], within=1e-4)


def test_the_pose_is_the_difference_of_cameras_and_the_token_joins_it_to_the_photo(
    reference: Reference, told: PhotoAndPose
) -> None:
    photo = Cameras.on_sphere(torch.zeros(1), torch.full((1,), 20.0), size=8)
    poses = []
    for polar, azimuth, radius in reference.config["poses_deg"]:
        elevation = torch.tensor([20.0 - polar])  # polar angles grow downwards
        target = Cameras.on_sphere(torch.tensor([azimuth]), elevation, size=8, distance=1.5 + radius)
        poses.append(photo.view_delta(target)[0])
    reference.check("T", torch.stack(poses), within=1e-5)
    reference.check("T", reference.poses(), within=1e-6)
    reference.check("c_crossattn", told.tokens, within=1e-5)
    reference.check("vae.mode_unscaled", told.channels[:1], within=1e-4)


def test_predictions_with_averaged_and_with_raw_weights(
    reference: Reference, told: PhotoAndPose, averaged: UNet2DConditionModel, raw: UNet2DConditionModel
) -> None:
    noisy, times = reference.given["x_noisy"], reference.given["timesteps"]
    for name, unet in (("ema", averaged), ("raw", raw)):
        with torch.no_grad():
            with_photo, without = predictions(unet, noisy, times, told, [Branch(), UNCONDITIONAL])
        reference.check(f"eps.cond.{name}", with_photo, within=1e-4)
        reference.check(f"eps.uncond.{name}", without, within=1e-4)


def guided(reference: Reference, told: PhotoAndPose, unet: UNet2DConditionModel) -> Callable[[Tensor, int], Tensor]:
    guidance = DecomposedGuidance((Term(UNCONDITIONAL, reference.config["cfg_scale"] - 1),))

    def denoise(x: Tensor, time: int) -> Tensor:
        with torch.no_grad():
            return guidance.combined(predictions(unet, x, torch.full((len(x),), time), told, guidance.branches))

    return denoise


@pytest.mark.parametrize(("run", "steps"), [("prefix3", "ddim_S"), ("full", "ddim_S_full")])
def test_sampling_step_by_step(
    reference: Reference, told: PhotoAndPose, averaged: UNet2DConditionModel, run: str, steps: str
) -> None:
    schedule = load_eps_schedule(reference.averaged / "scheduler")
    expected = reference.expected[f"{run}.x"]
    times = published_timesteps(reference.config[steps], skip_noisiest=True)
    assert times[: len(expected)] == reference.expected[f"{run}.timesteps"].tolist()
    denoise = guided(reference, told, averaged)
    x = reference.given["x_T"]
    for step in range(len(expected)):
        until = times[step + 1] if step + 1 < len(times) else None
        one = Ddim(schedule=schedule, timesteps=[times[step]], eta=reference.config["ddim_eta"], until=until)
        noise = reference.given[f"{run}.noise"][step]
        x = one(denoise, x, generator=lambda like, noise=noise: noise)
        reference.check(f"{run}.x", x, step, within=2e-4)
    if run == "full":
        vae = load_kl_autoencoder(reference.averaged / "vae").network
        with torch.no_grad():
            image = vae.decode(x[:1] / reference.config["vae"]["scale_factor"]).sample
        reference.check("full.decoded", image, within=2e-4)


@pytest.mark.parametrize(("run", "steps"), [("prefix3", "ddim_S"), ("full", "ddim_S_full")])
def test_the_schedule(reference: Reference, run: str, steps: str) -> None:
    schedule: NoiseSchedule = load_eps_schedule(reference.averaged / "scheduler")
    times = list(reversed(published_timesteps(reference.config[steps], skip_noisiest=False)))
    kept = [schedule.alpha_cumprod_at(time) for time in times]
    before = [schedule.alpha_cumprod_at(None), *kept[:-1]]
    pairs = list(zip(kept, before, strict=True))
    fresh = [((1 - low) / (1 - high) * (1 - high / low)) ** 0.5 * reference.config["ddim_eta"] for high, low in pairs]
    for name, found in (("alphas", kept), ("alphas_prev", before), ("sigmas", fresh)):
        reference.check(f"{run}.{name}", torch.tensor(found), within=1e-6)


def test_the_training_loss(reference: Reference, told: PhotoAndPose, raw: UNet2DConditionModel) -> None:
    schedule = load_eps_schedule(reference.averaged / "scheduler")
    times, noise = reference.given["train.t"].long(), reference.given["train.noise"]
    noisy = schedule.add_noise(reference.given["train.x0"], noise, times)
    reference.check("train.x_noisy", noisy, within=1e-6)
    with torch.no_grad():
        (found,) = predictions(raw, noisy, times, told, [Branch()])
    reference.check("train.eps", found, within=1e-4)
    reference.check("train.loss", torch.nn.functional.mse_loss(found, noise)[None], within=1e-4)
