"""`epimesh weights get`: whole or not at all, checked, resumed, and never without consent where that is needed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from loopback import Hub
from safetensors.torch import load_file, save

from epimesh.cli import main
from epimesh.weights import published

WEIGHTS = "diffusion_pytorch_model.safetensors"
WONDER3D = "flamehaze1115/wonder3d-v1.0"
PLUS = "sudo-ai/zero123plus-v1.2"


def tensors(seed: int = 0, numbers: int = 2000) -> dict[str, torch.Tensor]:
    return {"a.weight": torch.randn(numbers, generator=torch.Generator().manual_seed(seed))}


def wonder3d() -> dict[str, bytes]:
    """The folders of the real repository, with few numbers in them."""
    files = {f"{part}/{WEIGHTS}": save(tensors()) for part in ("unet", "vae")}
    files |= {f"unet/{WEIGHTS.replace('.safetensors', '.fp16.safetensors')}": save(tensors())}
    files |= {"image_encoder/model.safetensors": save(tensors(1)), "safety_checker/model.safetensors": save(tensors(2))}
    files |= {f"{part}/config.json": b"{}" for part in ("unet", "vae", "image_encoder")}
    return files | {"scheduler/scheduler_config.json": b"{}", "model_index.json": b"{}", "README.md": b"agpl"}


def pickled(content: object, path: Path) -> bytes:
    torch.save(content, path)
    return path.read_bytes()


def plus() -> dict[str, bytes]:
    files = {f"{part}/{WEIGHTS}": save(tensors()) for part in ("unet", "vae")}
    files |= {f"{part}/model.safetensors": save(tensors()) for part in ("text_encoder", "vision_encoder")}
    files |= {f"{part}/config.json": b"{}" for part in ("unet", "vae", "text_encoder", "vision_encoder")}
    return files | {"scheduler/scheduler_config.json": b"{}", "tokenizer/vocab.json": b"{}", "model_index.json": b"{}"}


def told(capsys: pytest.CaptureFixture[str]) -> str:
    printed = capsys.readouterr()
    return printed.out + printed.err


def leftovers() -> list[str]:
    """What lies where weights are kept, but for downloads that wait to be completed."""
    folder = published.home()
    return sorted(one.name for one in folder.iterdir() if not one.name.endswith(".download")) if folder.is_dir() else []


def test_one_command_fetches_the_parts_that_are_needed_and_nothing_else(
    loopback_hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    loopback_hub.repositories[WONDER3D] = wonder3d()
    assert main(["weights", "get", "wonder3d", "--yes"]) == 0
    text = told(capsys)
    assert "AGPL-3.0" in text
    assert "GB" in text
    assert "--preset wonder3d" in text
    folder = published.folder_of("wonder3d")
    assert torch.equal(load_file(folder / "unet" / WEIGHTS)["a.weight"], tensors()["a.weight"])
    assert "safety_checker/model.safetensors" not in loopback_hub.fetched()
    assert not any("fp16" in name for name in loopback_hub.fetched())
    assert leftovers() == ["wonder3d"]
    assert "published at" in (folder / "README.md").read_text()
    assert main(["weights", "where", "wonder3d"]) == 0
    assert capsys.readouterr().out.strip() == str(folder)
    assert main(["weights", "get", "wonder3d", "--yes"]) == 2
    assert "is there already" in told(capsys)
    assert main(["weights", "remove", "wonder3d", "--yes"]) == 0
    assert leftovers() == []


def test_half_takes_the_smaller_version_where_there_is_one(loopback_hub: Hub) -> None:
    loopback_hub.repositories[WONDER3D] = wonder3d()
    assert main(["weights", "get", "wonder3d", "--yes", "--half"]) == 0
    assert [name for name in loopback_hub.fetched() if name.startswith("unet/d")] == [
        "unet/diffusion_pytorch_model.fp16.safetensors"
    ]


def test_without_an_answer_nothing_is_downloaded(loopback_hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    loopback_hub.repositories[WONDER3D] = wonder3d()
    assert main(["weights", "get", "wonder3d"]) == 2
    assert "Nothing was downloaded" in told(capsys)
    assert loopback_hub.fetched() == []


def test_a_killed_download_goes_on_where_it_was(loopback_hub: Hub) -> None:
    large = {f"unet/{WEIGHTS}": save(tensors(numbers=6_000_000))}  # more than the client writes at once
    loopback_hub.repositories[WONDER3D] = wonder3d() | large
    loopback_hub.stalled = {f"unet/{WEIGHTS}"}
    command = [sys.executable, "-m", "epimesh", "weights", "get", "wonder3d", "--yes"]
    process = subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    waiting = published.home() / ".wonder3d.download"
    until = time.monotonic() + 180
    while time.monotonic() < until and not any(file.stat().st_size > 5_000_000 for file in waiting.rglob(".*.part")):
        time.sleep(0.1)
    process.kill()
    process.wait()
    assert leftovers() == []
    loopback_hub.stalled = set()
    loopback_hub.released.set()
    assert main(["weights", "get", "wonder3d", "--yes"]) == 0
    ranges = [wanted for name, wanted in loopback_hub.asked if name.endswith(f"unet/{WEIGHTS}")]
    assert int(ranges[-1].removeprefix("bytes=").partition("-")[0]) > 5_000_000
    found = load_file(published.folder_of("wonder3d") / "unet" / WEIGHTS)
    assert torch.equal(found["a.weight"], tensors(numbers=6_000_000)["a.weight"])


def test_a_file_that_changed_on_its_way_is_refused_and_removed(
    loopback_hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    loopback_hub.repositories[WONDER3D] = wonder3d()
    loopback_hub.changed = {f"unet/{WEIGHTS}"}
    assert main(["weights", "get", "wonder3d", "--yes"]) == 2
    assert "another content than the hub lists" in told(capsys)
    assert leftovers() == []
    loopback_hub.changed = set()
    assert main(["weights", "get", "wonder3d", "--yes"]) == 0


def test_a_repository_with_parts_missing_is_told_before_anything_is_downloaded(
    loopback_hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    files = wonder3d()
    del files["image_encoder/model.safetensors"]
    loopback_hub.repositories[WONDER3D] = files
    assert main(["weights", "get", "wonder3d", "--yes"]) == 2
    assert "lacks the part 'image_encoder'" in told(capsys)
    assert loopback_hub.fetched() == []


def test_a_licence_without_commerce_wants_its_word(loopback_hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    loopback_hub.repositories[PLUS] = plus()
    for given in ([], ["--accept-licence", "mit"]):
        assert main(["weights", "get", "zero123plus", "--yes", *given]) == 2
        assert "--accept-licence cc-by-nc-4.0" in told(capsys)
    assert loopback_hub.asked == []
    assert main(["weights", "get", "zero123plus", "--yes", "--accept-licence", "cc-by-nc-4.0"]) == 0


def test_a_gated_repository_says_how_to_log_in(loopback_hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    loopback_hub.repositories["stabilityai/stable-zero123"] = {"stable_zero123.ckpt": b"x" * 100}
    loopback_hub.gated = {"stabilityai/stable-zero123"}
    arguments = ["weights", "get", "stable-zero123", "--yes", "--accept-licence", "stabilityai-nc"]
    assert main(arguments) == 2
    assert "hf auth login" in told(capsys)
    assert leftovers() == []


def test_a_checkpoint_of_another_model_and_one_with_code_leave_nothing(
    loopback_hub: Hub, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = pickled({"state_dict": tensors()}, tmp_path / "other.ckpt")
    loopback_hub.repositories["cvlab/zero123-weights"] = {"105000.ckpt": other}
    assert main(["weights", "get", "zero123", "--yes"]) == 2
    assert "not a Zero-1-to-3 checkpoint" in told(capsys)
    assert leftovers() == []
    loopback_hub.repositories[PLUS] = plus()
    trap = pickled({"a.weight": torch.zeros(1), "trap": Path("somewhere")}, tmp_path / "trap.bin")
    loopback_hub.repositories["TencentARC/InstantMesh"] = {"diffusion_pytorch_model.bin": trap}
    arguments = ["weights", "get", "instantmesh-views", "--yes", "--accept-licence", "cc-by-nc-4.0"]
    assert main(arguments) == 2
    assert "nothing of it was run" in told(capsys)
    assert leftovers() == []


def test_instantmeshs_network_takes_the_place_of_the_one_it_was_made_from(loopback_hub: Hub, tmp_path: Path) -> None:
    loopback_hub.repositories[PLUS] = plus()
    theirs = pickled(tensors(7), tmp_path / "theirs.bin")
    loopback_hub.repositories["TencentARC/InstantMesh"] = {"diffusion_pytorch_model.bin": theirs}
    arguments = ["weights", "get", "instantmesh-views", "--yes", "--accept-licence", "cc-by-nc-4.0"]
    assert main(arguments) == 0
    folder = published.folder_of("instantmesh-views")
    assert torch.equal(load_file(folder / "unet" / WEIGHTS)["a.weight"], tensors(7)["a.weight"])
    assert (folder / "unet" / "config.json").is_file()
    assert (folder / "vision_encoder" / "model.safetensors").is_file()


def test_a_full_disk_is_told_before(
    loopback_hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loopback_hub.repositories[WONDER3D] = wonder3d()
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("epimesh.conversion.getting.shutil.disk_usage", lambda _: usage)
    assert main(["weights", "get", "wonder3d", "--yes"]) == 2
    assert "Nothing was downloaded" in told(capsys)
    assert loopback_hub.fetched() == []


def test_a_hub_that_cannot_be_reached_is_told(
    loopback_hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert main(["weights", "get", "wonder3d", "--yes"]) == 2
    assert "Check the network" in told(capsys)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("wonder3d", "zero123-xl"):  # one from the hub, one from elsewhere
        assert main(["weights", "get", name, "--yes"]) == 2
        assert "HF_HUB_OFFLINE" in told(capsys)


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "get", "zero123xl"]) == 2
    assert "Did you mean 'zero123-xl'?" in told(capsys)
    assert main(["run", "photo.jpg", "--preset", "wonder-3d"]) == 2
    assert "Did you mean 'wonder3d'?" in told(capsys)


def test_run_fetches_what_its_preset_needs_when_asked(
    loopback_hub: Hub, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from PIL import Image

    photo = tmp_path / "photo.png"
    Image.fromarray(np.zeros((32, 32, 3), dtype=np.uint8)).save(photo)
    missing = ["run", str(photo), "--preset", "stable-zero123", "--out", str(tmp_path / "out")]
    assert main([*missing, "--download", "--yes"]) == 2
    assert "--accept-licence stabilityai-nc" in told(capsys)


def test_list_and_mistaken_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "list"]) == 0
    text = told(capsys)
    assert all(name in text for name in published.PUBLISHED)
    assert "--accept-licence stabilityai-nc" in text
    assert main(["weights", "get", "zero124"]) == 2
    assert "Expected one of" in told(capsys)


def test_every_checkpoint_is_looked_for_where_its_publisher_has_it() -> None:
    xl, first = published.how_to_get("zero123-xl"), published.how_to_get("zero123")
    assert "cvlab/zero123-weights" not in xl
    assert "zero123.cs.columbia.edu/assets/zero123-xl.ckpt" in xl
    assert "cvlab/zero123-weights" in first
    assert "105000.ckpt" in first
