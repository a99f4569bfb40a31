"""Every tensor of the reference within the stated tolerance, from the photo file to the gradients."""

from math import radians

import pytest
import torch
from parity import check
from PIL import Image
from reference import Oracle, Ours
from safetensors.torch import load_file

from epimesh.diffusion.guidance import Branch
from epimesh.diffusion.sampler import Ddim
from epimesh.diffusion.schedules import NoiseSchedule, uniform_timesteps
from epimesh.diffusion.stored_schedule import load_eps_schedule
from epimesh.stages.shared.photo_token import clip_pixels, syncdreamer_image
from epimesh.stages.syncdreamer.denoiser import GROUPS, Conditions, classifier_free
from epimesh.stages.syncdreamer.volume import Pyramid

BRANCHES = {
    "cond": Branch(),
    "uncond": Branch(frozenset(GROUPS)),
    "no_volume": Branch(frozenset({"volume"})),
    "no_clip": Branch(frozenset({"tokens"})),
    "no_concat": Branch(frozenset({"channels"})),
}


@pytest.fixture(scope="module")
def schedule(ours: Ours) -> NoiseSchedule:
    return load_eps_schedule(ours.folder / "scheduler")


def sampler(oracle: Oracle, schedule: NoiseSchedule, steps: int) -> Ddim:
    times = uniform_timesteps(steps, spacing="leading")
    eta = oracle.config["ddim_eta"]
    return Ddim(schedule=schedule, timesteps=times, eta=eta, noise_at_end=False)


def test_the_photo_is_framed_as_the_published_command_line_frames_it(oracle: Oracle) -> None:
    picture = Image.open(oracle.folder / "input.png")
    image = syncdreamer_image(picture, oracle.config["image_size"], oracle.config["crop_size"])
    expected = oracle.expected["prep.input_image_hwc"]
    assert float((image.permute(1, 2, 0) - expected).abs().max()) <= 1 / 127.5
    elevation = torch.tensor([radians(oracle.config["elevations_deg"][0])])
    oracle.check("prep.input_elevation", elevation, within=1e-6)


def test_autoencoder_and_clip(oracle: Oracle, ours: Ours) -> None:
    images = oracle.given["image_bchw"]
    scaling = oracle.config["vae"]["scale_factor"]
    with torch.no_grad():
        posterior = ours.vae.encode(images).latent_dist
        embedding = ours.encoder(clip_pixels(images)).image_embeds
    oracle.check("vae.moments", posterior.parameters, within=1e-4)
    oracle.check("vae.mode_scaled", posterior.mode() * scaling, within=1e-5)
    latents = posterior.mean + posterior.std * oracle.given["posterior_noise"]
    oracle.check("vae.x_input_scaled", latents * scaling, within=1e-5)
    oracle.check("clip.preprocessed_every4", clip_pixels(images)[..., ::4, ::4], within=1e-5)
    oracle.check("clip.embed", embedding[:, None], within=1e-4)


def test_what_the_networks_are_told(oracle: Oracle, ours: Ours) -> None:
    volume = ours.denoiser.volume
    oracle.check("t_embed", volume.time_embedding(oracle.given["timesteps"]), within=1e-5)
    oracle.check("v_embed", volume.rig.view_vectors(oracle.given["elevation_rad"]), within=1e-5)
    chosen = oracle.given["frustum_views"].long()
    tokens = ours.conditions(oracle).tokens[torch.arange(len(chosen))[:, None], chosen]
    oracle.check("cc_projection", tokens.flatten(0, 1), within=1e-5)


def test_the_volume(oracle: Oracle, ours: Ours) -> None:
    volume, noisy, view = ours.denoiser.volume, oracle.given["x_noisy"], oracle.expected["v_embed"]
    time = oracle.expected["t_embed"]
    with torch.no_grad():
        oracle.check("target_encoder.view0", volume.encoder(noisy[:, 0], time, view[:, 0]), within=1e-4)
        oracle.check("target_encoder.last", volume.encoder(noisy[:, -1], time, view[:, -1]), within=1e-4)
        lifted = volume.lifted(noisy, time, view)
        oracle.check("unprojected.view0_first4ch", lifted[:, :4], within=1e-4)
        oracle.check("unprojected.sum_per_channel", lifted.double().sum((2, 3, 4)), within=1e-4)
        built = volume(noisy, oracle.given["timesteps"], view)
    oracle.check("spatial_volume.first4ch", built[:, :4], within=1e-4)
    oracle.check("spatial_volume.sum_per_channel", built.double().sum((2, 3, 4)), within=1e-4)


@pytest.fixture(scope="module")
def rays(oracle: Oracle, ours: Ours) -> Pyramid:
    volume, times, view = ours.denoiser.volume, oracle.given["timesteps"], oracle.expected["v_embed"]
    with torch.no_grad():
        built = volume(oracle.given["x_noisy"], times, view)
        return volume.frustums(built, times, view, oracle.given["frustum_views"].long())


def test_what_the_views_see_of_the_volume(oracle: Oracle, ours: Ours, rays: Pyramid) -> None:
    volume = ours.denoiser.volume
    chosen = oracle.given["frustum_views"].long()
    line = volume.rig.depths(oracle.config["D"]).expand(chosen.numel(), -1)
    oracle.check("frustum.depth_line", line, within=1e-6)
    with torch.no_grad():
        built = volume(oracle.given["x_noisy"], oracle.given["timesteps"], oracle.expected["v_embed"])
    oracle.check("frustum_sampled.first_4ch", volume.seen(built, chosen)[:2, :4], within=1e-4)
    oracle.check("frustum.div1", rays[0][:2, :4], within=1e-4)
    for level, name in enumerate(("div2", "div4", "div8"), start=1):
        oracle.check(f"frustum.{name}", rays[level][:2], within=1e-4)


def test_the_prediction_with_and_without_every_condition(oracle: Oracle, ours: Ours, rays: Pyramid) -> None:
    with torch.no_grad():
        predicted = ours.denoiser.predictions(
            oracle.given["x_noisy"],
            oracle.given["timesteps"],
            ours.conditions(oracle),
            rays,
            oracle.given["frustum_views"].long(),
            list(BRANCHES.values()),
        )
    for name, found in zip(BRANCHES, predicted, strict=True):
        oracle.check(f"eps.{name}", found, within=1e-4)
    guided = classifier_free(oracle.config["cfg_scale"]).combined(predicted[:2])
    oracle.check("eps.cfg", guided, within=1e-4)


def schedule_numbers(schedule: NoiseSchedule, times: list[int], eta: float) -> dict[str, torch.Tensor]:
    """By the formulas of DDIM, of ascending times."""
    kept = [schedule.alpha_cumprod_at(time) for time in times]
    before = [schedule.alpha_cumprod_at(None), *kept[:-1]]
    fresh = [((1 - low) / (1 - high) * (1 - high / low)) ** 0.5 * eta for high, low in zip(kept, before, strict=True)]
    return {"alphas": torch.tensor(kept), "alphas_prev": torch.tensor(before), "sigmas": torch.tensor(fresh)}


def test_the_schedule(oracle: Oracle, schedule: NoiseSchedule) -> None:
    times = oracle.expected["ddim50.timesteps"].tolist()
    assert list(reversed(uniform_timesteps(50, spacing="leading"))) == times
    for name, found in schedule_numbers(schedule, times, oracle.config["ddim_eta"]).items():
        oracle.check(f"ddim50.{name}", found, within=1e-6)


def test_another_number_of_steps_with_less_noise(oracle: Oracle, schedule: NoiseSchedule) -> None:
    """One update in the middle, and the last one, by settings that nobody has as defaults."""
    settings, stored = oracle.config["sampler_alt"], load_file(oracle.folder / "sampler_alt.safetensors")
    times = stored["timesteps"].tolist()
    assert list(reversed(uniform_timesteps(settings["S"], spacing="leading"))) == times
    for name, found in schedule_numbers(schedule, times, settings["eta"]).items():
        check(f"sampler_alt.{name}", found, stored[name], within=1e-6)

    def step(index: int) -> torch.Tensor:
        one = Ddim(
            schedule=schedule,
            timesteps=[times[index]],
            eta=settings["eta"],
            until=times[index - 1] if index > 0 else None,
            noise_at_end=False,
        )
        return one(lambda x, time: stored["eps"], stored["x"], generator=lambda like: stored["noise"])

    check("sampler_alt.x_prev", step(settings["index"]), stored["x_prev"], within=1e-6)
    check("sampler_alt.x_prev_last", step(0), stored["x_prev_last"], within=1e-6)


def predicted(oracle: Oracle, ours: Ours, noisy: torch.Tensor, time: int, scale: float) -> torch.Tensor:
    times = torch.full((len(noisy),), time)
    with torch.no_grad():
        return ours.denoiser(noisy, times, ours.conditions(oracle), classifier_free(scale))


def test_three_joint_steps_of_all_views(oracle: Oracle, ours: Ours, schedule: NoiseSchedule) -> None:
    noises = iter([oracle.given[f"ddim50.noise{step}"] for step in range(3)])
    whole = sampler(oracle, schedule, 50)
    times = list(whole.timesteps)
    seen = []

    def denoise(noisy: torch.Tensor, time: int) -> torch.Tensor:
        seen.append(predicted(oracle, ours, noisy, time, oracle.config["cfg_scale"]))
        return seen[-1]

    x = oracle.given["x_T"]
    for step in range(3):
        one = Ddim(
            schedule=schedule, timesteps=times[step : step + 1], eta=oracle.config["ddim_eta"], until=times[step + 1]
        )
        x = one(denoise, x, generator=lambda like: next(noises))
        oracle.check(f"ddim50.eps{step}", seen[-1], within=2e-4)
        oracle.check(f"ddim50.x{step}", x, within=2e-4)


def test_the_last_step_adds_no_noise(oracle: Oracle, ours: Ours, schedule: NoiseSchedule) -> None:
    last = Ddim(schedule=schedule, timesteps=[1], eta=oracle.config["ddim_eta"], noise_at_end=False)
    scale = oracle.config["cfg_scale"]
    found = last(lambda x, time: predicted(oracle, ours, x, time, scale), oracle.expected["ddim50.x2"])
    oracle.check("ddim50.final_from_x2", found, within=2e-4)


def test_guidance_of_scale_one_is_the_conditional_branch_alone(oracle: Oracle, ours: Ours) -> None:
    time = int(oracle.expected["ddim50.timesteps"][-1])
    assert len(classifier_free(1.0).branches) == 1
    found = predicted(oracle, ours, oracle.given["x_T"], time, 1.0)
    oracle.check("ddim50.eps0_scale1", found, within=1e-4)


def test_a_whole_run_and_a_decoded_view(oracle: Oracle, ours: Ours, schedule: NoiseSchedule) -> None:
    noises = iter([oracle.given[f"ddim4.noise{step}"] for step in range(3)])
    whole = sampler(oracle, schedule, 4)
    assert list(reversed(whole.timesteps)) == oracle.expected["ddim4.timesteps"].tolist()
    scale = oracle.config["cfg_scale"]
    found = whole(
        lambda x, time: predicted(oracle, ours, x, time, scale),
        oracle.given["x_T"],
        generator=lambda like: next(noises),
    )
    oracle.check("ddim4.x0", found, within=2e-4)
    with torch.no_grad():
        image = ours.vae.decode(found[:1, -1] / oracle.config["vae"]["scale_factor"]).sample
    oracle.check("ddim4.decoded_last_view_every2", image[..., ::2, ::2], within=2e-4)


def test_the_training_loss_and_its_gradients(oracle: Oracle, ours: Ours, schedule: NoiseSchedule) -> None:
    times, noise = oracle.given["train.t"].long(), oracle.given["train.noise"]
    noisy = schedule.add_noise(oracle.given["train.x0"], noise, times)
    oracle.check("train.x_noisy", noisy, within=1e-6)
    chosen = oracle.given["train.target_index"].long()
    conditions: Conditions = ours.conditions(oracle)
    denoiser = ours.denoiser.requires_grad_(True)
    try:
        built = denoiser.volume(noisy, times, conditions.view)
        rays = denoiser.volume.frustums(built, times, conditions.view, chosen)
        (found,) = denoiser.predictions(noisy, times, conditions, rays, chosen, [Branch()])
        wanted = noise[torch.arange(len(chosen))[:, None], chosen].flatten(0, 1)
        loss = torch.nn.functional.mse_loss(found, wanted)
        loss.backward()
        oracle.check("train.eps", found.detach(), within=1e-4)
        oracle.check("train.loss", loss.detach()[None], within=1e-4)
        for name, (parameter, tolerance) in GRADIENTS.items():
            gradient = denoiser.get_parameter(parameter).grad
            expected = oracle.expected[f"train.grad.{name}"]
            same_part = gradient.flatten()[: expected.numel()].reshape(expected.shape)
            oracle.check(f"train.grad.{name}", same_part, within=tolerance)
    finally:
        denoiser.zero_grad()
        denoiser.requires_grad_(False)


UNET = "model.diffusion_model."
GRADIENTS = {
    f"{UNET}middle_conditions.proj_out.5.weight": ("unet.depth_middle.conv2.weight", 1e-3),
    f"{UNET}output_conditions.8.depth_attn.to_v.weight": ("unet.depth_up.2.2.to_v.weight", 1e-3),
    "spatial_volume.frustum_volume_feats.up2.conv.bias": ("volume.frustum.up.2.conv.bias", 1e-2),
    "spatial_volume.spatial_volume_feats.conv0.conv.bias": ("volume.volume.first.conv.bias", 1e-2),
    "spatial_volume.target_encoder.init_conv.weight": ("volume.encoder.conv_in.weight", 1e-2),
    "time_embed.0.weight": ("volume.time.0.weight", 1e-2),
}
