"""Zero123++ as a pipeline runs it: six views at fixed elevations, decoded as the one picture they were drawn as."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from published_folders import noisy_photo
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from epimesh.decoders import GridDecoder, VaeDecoder
from epimesh.decoders.grid import off_grey
from epimesh.errors import BadInput, BadWeights, StageMismatch
from epimesh.runtime import Runtime
from epimesh.stages.zero123plus.stage import Zero123Plus

CPU = Runtime("cpu")
WIDTH = 16
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear", "prediction_type": "v_prediction"}


def save(folder: Path) -> None:
    """All parts, small and random."""
    torch.manual_seed(1)
    UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
    ).save_pretrained(folder / "unet")
    AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[32] * 4,
        layers_per_block=1,
        scaling_factor=0.18215,
    ).save_pretrained(folder / "vae")
    shape = {"hidden_size": WIDTH, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = CLIPVisionConfig(**shape, image_size=224, patch_size=56, projection_dim=WIDTH)
    CLIPVisionModelWithProjection(vision).save_pretrained(folder / "vision_encoder")
    text = CLIPTextConfig(**shape, vocab_size=8, max_position_embeddings=7, bos_token_id=1, eos_token_id=2)
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    (folder / "tokenizer").mkdir()
    words = {"!": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(words))
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULE))
    (folder / "model_index.json").write_text(json.dumps({"ramping_coefficients": [0.1 * n for n in range(7)]}))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Zero123Plus:
    folder = tmp_path_factory.mktemp("weights") / "plus"
    save(folder)
    return Zero123Plus(weights=str(folder), steps=2, tile=64, photo_size=64)


def test_six_views_at_the_published_cameras_whatever_the_photos_own(stage: Zero123Plus) -> None:
    made = stage(noisy_photo(), runtime=CPU)
    assert made.latents.shape == (6, 4, 8, 8)
    azimuth, elevation = made.cameras.azimuth_elevation_deg()
    torch.testing.assert_close(azimuth, torch.tensor([30.0, 90, 150, 210, 270, 330]), atol=1e-3, rtol=0)
    torch.testing.assert_close(elevation, torch.tensor([20.0, -10] * 3), atol=1e-3, rtol=0)
    higher = stage(replace(noisy_photo(), elevation_deg=50.0), runtime=CPU)
    assert torch.equal(higher.latents, made.latents)
    assert torch.equal(stage(noisy_photo(), runtime=CPU).latents, made.latents)
    for change in ({"guidance": 1.0}, {"background": "white"}, {"fill": 0.7}, {"steps": 3}):
        assert not torch.allclose(replace(stage, **change)(noisy_photo(), runtime=CPU).latents, made.latents)
    _, lower = replace(stage, rig="v1.1")(noisy_photo(), runtime=CPU).cameras.azimuth_elevation_deg()
    torch.testing.assert_close(lower, torch.tensor([30.0, -20] * 3), atol=1e-3, rtol=0)


def test_its_views_are_decoded_as_one_picture_and_by_no_other_decoder(stage: Zero123Plus) -> None:
    made = stage(noisy_photo(), runtime=CPU)
    vae = f"{stage.weights}/vae"
    for background in ("grey", "white"):
        views = GridDecoder(weights=vae, background=background)(made, runtime=CPU)  # type: ignore[arg-type]
        assert views.rgb.shape == (6, 3, 64, 64)
        assert views.alpha.shape == (6, 1, 64, 64)
    with pytest.raises(StageMismatch, match="zero123plus"):
        VaeDecoder(weights=vae, latent_space="sd")(made, runtime=CPU)
    other = replace(made, latent_space="sd")
    with pytest.raises(StageMismatch, match="'sd'"):
        GridDecoder(weights=vae)(other, runtime=CPU)


def test_what_encloses_grey_is_the_object_and_grey_around_it_is_not() -> None:
    rgb = torch.full((1, 3, 32, 32), 127 / 255)
    rgb[0, 0, 8:24, 8:24] = 0.9
    rgb[0, :, 12:20, 12:20] = 127 / 255
    alpha = off_grey(rgb)[0, 0]
    assert float(alpha[8:24, 8:24].mean()) == 1
    assert float(alpha.sum()) == 16 * 16


def test_folders_of_other_models_and_wrong_settings_are_refused(stage: Zero123Plus, tmp_path: Path) -> None:
    save(tmp_path / "other")
    changed = tmp_path / "other" / "scheduler" / "scheduler_config.json"
    changed.write_text(json.dumps({**SCHEDULE, "beta_schedule": "scaled_linear"}))
    with pytest.raises(BadWeights, match="scaled_linear"):
        replace(stage, weights=str(tmp_path / "other"))(noisy_photo(), runtime=CPU)
    changed.write_text(json.dumps(SCHEDULE))
    (tmp_path / "other" / "model_index.json").write_text(json.dumps({"ramping_coefficients": [1, 2]}))
    with pytest.raises(BadWeights, match="has 2 ramping_coefficients, expected 7"):
        replace(stage, weights=str(tmp_path / "other"))(noisy_photo(), runtime=CPU)
    with pytest.raises(BadInput, match="tile 100"):
        Zero123Plus(tile=100)
    with pytest.raises(BadInput, match="steps is 0"):
        Zero123Plus(steps=0)
