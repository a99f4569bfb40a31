"""Zero123++ and InstantMesh at reduced sizes: tensors of the reference within the stated tolerance."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from parity import check, check_places
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from epimesh.stages.zero123plus import pictures
from epimesh.stages.zero123plus.parts import load_text_encoder
from epimesh.stages.zero123plus.sampling import Read, ancestral, guided, reading, trailing, velocity
from epimesh.stages.zero123plus.stage import posterior_sample

ORACLES = Path(os.environ.get("EPIMESH_ORACLES", Path(__file__).parents[4] / "shared" / "oracles"))
KEPT_PLACES = "8b498825d3f1d4f47b5324d2165c7e3cee35b5247b45c70782bd447b94f35304"


@dataclass(frozen=True, eq=False)
class Reference:
    folder: Path
    config: dict[str, Any]
    given: dict[str, Tensor]
    expected: dict[str, Tensor]
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    encoder: Any
    text: Any

    def check(self, name: str, found: Tensor, step: int | None = None, *, within: float) -> None:
        expected = self.expected[name] if step is None else self.expected[name][step]
        check(f"zero123plus {name}" + ("" if step is None else f" {step}"), found, expected, within=within)

    def read(self, rows: slice = slice(None)) -> Read:
        tokens = torch.cat([self.expected["text.empty"], self.expected["cond.tokens"]])
        return Read(self.expected["cond.latents"][rows], tokens[rows])

    def picture(self, value: int = pictures.GREY) -> Image.Image:
        return pictures.on_constant(Image.open(self.folder / "input.png").convert("RGBA"), value)


def weights(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor.float() for name, tensor in tensors.items() if name.startswith(prefix)}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    folder = ORACLES / "zero123plus"
    if not folder.is_dir():
        pytest.skip(f"no reference outputs at {folder}; set EPIMESH_ORACLES to the folder that holds zero123plus/")
    config, tensors = json.loads((folder / "config.json").read_text()), load_file(folder / "weights.safetensors")
    unet, vae = UNet2DConditionModel(**config["unet"]), AutoencoderKL(**config["vae"])
    unet.load_state_dict(weights(tensors, "unet."))
    vae.load_state_dict(weights(tensors, "vae."))
    encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(**config["vision_encoder"]))
    encoder.load_state_dict(weights(tensors, "vision_encoder."))
    text = tmp_path_factory.mktemp("plus") / "text_encoder"
    text.mkdir()
    (text / "config.json").write_text(json.dumps(config["text_encoder"]))
    save_file(weights(tensors, "text_encoder."), text / "model.safetensors")
    for network in (unet, vae, encoder):
        network.eval().requires_grad_(False)
    given, expected = load_file(folder / "inputs.safetensors"), load_file(folder / "outputs.safetensors")
    return Reference(folder, config, given, expected, unet, vae, encoder, load_text_encoder(text))


def test_the_photo_as_it_is_shown(reference: Reference) -> None:
    for name, value in (("grey", pictures.GREY), ("white", pictures.WHITE)):
        found = pictures.vae_pixels(reference.picture(value), reference.picture().width) * 0.8 + 0.5
        bytes_ = (found[0].permute(1, 2, 0)[::2, ::2] * 255).round().to(torch.uint8)
        assert torch.equal(bytes_, reference.expected[f"prep.rgb_{name}_u8_every2"])
    pixels = pictures.vae_pixels(reference.picture(), reference.config["cond_size"])
    reference.check("prep.vae_pixels_every2", pixels[..., ::2, ::2], within=1e-5)
    reference.check("prep.clip_pixels_every4", pictures.clip_pixels(reference.picture())[..., ::4, ::4], within=1e-5)
    sized = pictures.resized_foreground(Image.open(reference.folder / "input.png").convert("RGBA"), 0.85)
    assert [sized.height, sized.width, 4] == reference.expected["instantmesh.resized_shape"].tolist()
    found = torch.frombuffer(bytearray(sized.tobytes()), dtype=torch.uint8).reshape(sized.height, sized.width, 4)
    assert torch.equal(found[::2, ::2], reference.expected["instantmesh.resized_rgba_u8_every2"])


def test_what_the_views_read(reference: Reference) -> None:
    side = reference.config["cond_size"]
    pixels = pictures.vae_pixels(reference.picture(), side)
    photo = posterior_sample(reference.vae, pixels, lambda like: reference.given["vae.noise_cond"])
    nothing = posterior_sample(
        reference.vae, torch.zeros(1, 3, side, side), lambda like: reference.given["vae.noise_negative"]
    )
    reference.check("cond.latents", torch.cat([nothing, photo]), within=1e-4)
    words = reference.text(reference.expected["text.input_ids"]).last_hidden_state
    reference.check("text.empty", words, within=1e-4)
    embedding = reference.encoder(pictures.clip_pixels(reference.picture())).image_embeds
    reference.check("cond.image_embed", embedding[:, None], within=1e-4)
    ramp = torch.tensor(reference.config["ramping_coefficients"])
    reference.check("cond.tokens", words + ramp[:, None] * embedding[:, None], within=1e-4)


def test_the_schedule(reference: Reference) -> None:
    for steps in reference.config["schedules"]:
        times, sigmas = trailing(steps)
        assert times == reference.expected[f"sched.trailing{steps}.timesteps"].tolist()
        reference.check(f"sched.trailing{steps}.sigmas", sigmas, within=1e-6)


def test_latents_are_scaled_back(reference: Reference) -> None:
    found = pictures.unscaled_latents(reference.given["affine.x"])
    reference.check("affine.unscale_latents", found, within=1e-6)


def test_both_passes_layer_by_layer(reference: Reference) -> None:
    index = reference.config["probe_index"]
    times, sigmas = trailing(reference.config["steps"])
    sigma, level, number = float(sigmas[index]), *reference.config["trace_down"]
    unet, kept = reference.unet, {}
    blocks = {
        "down": unet.down_blocks[level].attentions[number].transformer_blocks[0],
        "mid": unet.mid_block.attentions[0].transformer_blocks[0],
        "up": unet.up_blocks[1].attentions[0].transformer_blocks[0],
    }
    handles = []
    for place, block in blocks.items():
        for name in ("norm1", "attn1", "attn2", "ff"):
            hook = lambda _, __, out, key=f"trace.{place}.{name}": kept.setdefault(key, []).append(out)  # noqa: E731
            handles.append(getattr(block, name).register_forward_hook(hook))
    x, noise = reference.given["probe.x"] * sigma, reference.given["probe.ref_noise"]
    with torch.no_grad(), reading(unet):
        rows = velocity(unet, x, times[index], sigma, reference.read(), noise)
        for handle in handles:
            handle.remove()
        alone = velocity(unet, x, times[index], sigma, reference.read(slice(1, None)), noise[1:])
    for name, (written, read) in kept.items():
        reference.check(f"{name}.write", written, within=1e-4)
        if f"{name}.read" in reference.expected:
            reference.check(f"{name}.read", read, within=1e-4)
    reference.check("probe.v", rows, within=1e-4)
    reference.check("probe.v_guided", guided(rows, reference.config["guidance_scale"]), within=1e-4)
    reference.check("probe.v_scale1", alone, within=1e-4)


def steps(reference: Reference, count: int, of: int, noise: str) -> tuple[list[Tensor], list[Tensor]]:
    """Predictions and latents of the first steps of a run."""
    times, sigmas = trailing(of)
    x, predicted, made = reference.given["x_T"] * sigmas[0], [], []
    with torch.no_grad(), reading(reference.unet):
        for number in range(count):
            sigma, following = float(sigmas[number]), float(sigmas[number + 1])
            fresh = reference.given[f"{noise}.ref_noise"][number]
            rows = velocity(reference.unet, x, times[number], sigma, reference.read(), fresh)
            predicted.append(guided(rows, reference.config["guidance_scale"]))
            x = ancestral(x, predicted[-1], sigma, following, reference.given[f"{noise}.noise"][number])
            made.append(x)
    return predicted, made


def test_three_steps(reference: Reference) -> None:
    predicted, made = steps(reference, 3, reference.config["steps"], "steps")
    for number in range(3):
        reference.check(f"steps.v{number}", predicted[number], within=2e-4)
        reference.check(f"steps.x{number}", made[number], within=2e-4)


def test_a_whole_short_run_down_to_its_tiles(reference: Reference) -> None:
    count = reference.config["steps_short"]
    _, made = steps(reference, count, count, "short")
    reference.check("short.x", torch.stack(made), within=2e-4)
    latents = pictures.unscaled_latents(made[-1])
    reference.check("short.latents_unscaled", latents, within=2e-4)
    with torch.no_grad():
        decoded = reference.vae.decode(latents / reference.config["vae"]["scaling_factor"]).sample
    reference.check("short.decoded_every2", decoded[..., ::2, ::2], within=2e-4)
    views = pictures.tiles((1.6 * decoded / 2 + 0.5).clamp(0, 1))
    reference.check("short.tiles_every2", views[..., ::2, ::2], within=2e-4)


def test_a_network_is_as_it_was_after_it_read(reference: Reference) -> None:
    x, tokens = torch.randn(2, 4, 8, 8), reference.read().tokens
    with torch.no_grad():
        before = reference.unet(x, 500, tokens).sample
        with reading(reference.unet):
            reference.unet(x, 500, tokens)
            assert not torch.allclose(reference.unet(x, 500, tokens).sample, before)
        assert torch.equal(reference.unet(x, 500, tokens).sample, before)


def test_every_key_of_the_full_size_network_is_accounted_for() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True
        )
    check_places(unet, ORACLES / "full_keys_zero123plus_unet.json", KEPT_PLACES)
    assert len(unet.state_dict()) == 686
    assert sum(parameter.numel() for parameter in unet.parameters()) == 865_910_724
