"""`hub:` sources and public copies in diffusers layout: read as they are, and only what is read is downloaded."""

import json
from pathlib import Path

import pytest
import torch
from loopback import Hub
from published_folders import noisy_photo, save_zero123
from safetensors.torch import load_file, save, save_file

from epimesh import weights
from epimesh.errors import BadWeights, WeightsNotFound
from epimesh.pipeline.fingerprint import fingerprint
from epimesh.runtime import Runtime
from epimesh.stages.zero123.stage import Zero123

COPY = "someone/zero123-xl"
FILE = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "zero123"
    save_zero123(folder)
    return folder


def public(converted: Path, part: str, kind: str, layer: str) -> dict[str, bytes]:
    """The same weights as public copies have them: other names, older attention, files that nobody needs."""
    files = {
        path.relative_to(converted).as_posix(): path.read_bytes()
        for path in converted.rglob("*")
        if path.is_file() and path.parent.name != "photo_token"
    }
    token = load_file(converted / "photo_token" / FILE)
    files[f"{part}/{FILE}"] = save({name.replace("projection", layer): one for name, one in token.items()})
    files[f"{part}/config.json"] = json.dumps({"_class_name": kind}).encode()
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    vae = load_file(converted / "vae" / FILE)
    for new, older in old.items():
        vae = {name.replace(f".attentions.0.{new}.", f".attentions.0.{older}."): one for name, one in vae.items()}
    files[f"vae/{FILE}"] = save(vae)
    encoder = load_file(converted / "image_encoder" / "model.safetensors")
    encoder["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    files["image_encoder/model.safetensors"] = save(encoder)
    for where in ("unet", "vae"):
        files[f"{where}/{FILE.replace('.safe', '.fp16.safe')}"] = b"half"
        files[f"{where}/diffusion_pytorch_model.bin"] = b"pickle"
    return files | {"safety_checker/model.safetensors": b"x", "model_index.json": b"{}", "pipeline.py": b"import os"}


@pytest.mark.parametrize(
    ("part", "kind", "layer"),
    [("cc_projection", "CCProjection", "projection"), ("clip_camera_projection", "CLIPCameraProjection", "proj")],
)
def test_a_public_copy_gives_the_views_of_the_converted_checkpoint(
    loopback_hub: Hub, converted: Path, part: str, kind: str, layer: str
) -> None:
    loopback_hub.repositories[COPY] = public(converted, part, kind, layer)
    ours = Zero123(weights=str(converted), steps=2, views=2)
    theirs = Zero123(weights=f"hub:{COPY}", steps=2, views=2)
    runtime = Runtime("cpu")
    expected = ours(noisy_photo(), runtime=runtime).latents
    torch.testing.assert_close(theirs(noisy_photo(), runtime=runtime).latents, expected)
    fetched = loopback_hub.fetched()
    assert not [name for name in fetched if "fp16" in name or name.endswith((".bin", ".py")) or "safety" in name]
    fingerprint(theirs)


def test_a_repository_that_does_not_fit_is_told_before_its_weights_are_downloaded(
    loopback_hub: Hub, converted: Path
) -> None:
    files = public(converted, "cc_projection", "CCProjection", "projection")
    loopback_hub.repositories[COPY] = {name: one for name, one in files.items() if not name.startswith("cc_proj")}
    with pytest.raises(BadWeights, match="lacks the part"):
        fingerprint(Zero123(weights=f"hub:{COPY}"))
    assert loopback_hub.fetched() == []


def test_one_folder_of_a_repository_is_downloaded_by_itself(loopback_hub: Hub, converted: Path) -> None:
    loopback_hub.repositories[COPY] = public(converted, "cc_projection", "CCProjection", "projection")
    folder = weights.resolve(f"hub:{COPY}/vae@main")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", FILE]
    assert {name.partition("/")[0] for name in loopback_hub.fetched()} == {"vae"}
    with pytest.raises(BadWeights, match=r"no folder 'vea'.*\n.*vae"):
        weights.resolve(f"hub:{COPY}/vea")


def test_weights_that_would_have_to_be_unpickled_are_not_downloaded(loopback_hub: Hub) -> None:
    loopback_hub.repositories[COPY] = {"unet/diffusion_pytorch_model.bin": b"x", "unet/config.json": b"{}"}
    with pytest.raises(BadWeights, match="unpickled"):
        weights.resolve(f"hub:{COPY}")
    assert loopback_hub.fetched() == []


def test_without_a_network_what_is_in_the_cache_is_used(
    loopback_hub: Hub, converted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loopback_hub.repositories[COPY] = public(converted, "cc_projection", "CCProjection", "projection")
    folder = weights.resolve(f"hub:{COPY}/vae")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert weights.resolve(f"hub:{COPY}/vae") == folder
    with pytest.raises(WeightsNotFound, match="HF_HUB_OFFLINE"):
        weights.resolve("hub:someone/else")


def test_of_several_versions_in_a_folder_the_one_in_full_precision_is_read(converted: Path, tmp_path: Path) -> None:
    from epimesh.diffusion.autoencoder import load_autoencoder

    for path in (converted / "vae").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    expected = load_file(converted / "vae" / FILE)
    save_file({name: one.half() for name, one in expected.items()}, tmp_path / FILE.replace(".safe", ".fp16.safe"))
    found = load_autoencoder(str(tmp_path)).network.state_dict()
    assert all(torch.equal(found[name], one) for name, one in expected.items())
    (tmp_path / FILE).rename(tmp_path / FILE.replace(".safe", ".ema.safe"))
    with pytest.raises(BadWeights, match="holds 2 safetensors files"):
        load_autoencoder(str(tmp_path))


def test_names_that_are_no_repository_are_explained() -> None:
    for name in ("justone", "a/../b", "a//b"):
        with pytest.raises(WeightsNotFound, match="OWNER/NAME"):
            weights.resolve(f"hub:{name}")
