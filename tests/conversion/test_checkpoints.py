"""Opening and writing: nothing inside a file is run, damage is told, and a failure leaves nothing behind."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from epimesh.cli.convert import main
from epimesh.conversion.checkpoint import open_checkpoint
from epimesh.conversion.parts import Origin
from epimesh.conversion.writing import write_safetensors
from epimesh.errors import BadInput, BadWeights


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.sprung,)


def test_tensors_come_back_from_every_format(tmp_path: Path) -> None:
    tensors = {"a.weight": torch.randn(3, 2), "b": torch.arange(4)}
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "lightning.ckpt")
    torch.save(tensors, tmp_path / "plain.pth")
    torch.save(tensors, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    save_file(tensors, tmp_path / "new.safetensors")
    for name in ("lightning.ckpt", "plain.pth", "old.ckpt", "new.safetensors"):
        found = open_checkpoint(tmp_path / name)
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[key], tensors[key]) for key in tensors)


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "trap": Trap(sprung)}, tmp_path / "trap.ckpt")
    with pytest.raises(BadWeights, match="nothing of it was run"):
        open_checkpoint(tmp_path / "trap.ckpt")
    assert not sprung.exists()
    torch.load(tmp_path / "trap.ckpt", weights_only=False)  # the trap works
    assert sprung.exists()


def lightning_of_old(monkeypatch: pytest.MonkeyPatch, trap: Path) -> type:
    """A callback class of PyTorch Lightning 1.4 that would do harm if anything of it ran."""

    class ModelCheckpoint:
        def __init__(self, *given: object) -> None:
            trap.touch()

        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return ModelCheckpoint, (1,)

    module = ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    module.ModelCheckpoint = ModelCheckpoint  # type: ignore[attr-defined]
    ModelCheckpoint.__module__, ModelCheckpoint.__qualname__ = module.__name__, "ModelCheckpoint"
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return ModelCheckpoint


def test_a_checkpoint_of_lightning_1_4_is_read_with_optimiser_state_and_callbacks_keyed_by_their_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sprung = tmp_path / "sprung"
    callback = lightning_of_old(monkeypatch, sprung)
    weights = {"a.weight": torch.randn(3, 2)}
    content = {
        "state_dict": weights,
        "epoch": 3,
        "callbacks": {callback: {"best_model_score": torch.tensor(1.0), "best_model_path": "somewhere"}},
        "optimizer_states": [{"state": {0: {"step": 5, "exp_avg": torch.randn(3, 2)}}, "param_groups": [{"lr": 1e-4}]}],
        "made": object.__new__(callback),
    }
    torch.save(content, tmp_path / "zero123-xl.ckpt")
    monkeypatch.undo()
    sprung.unlink(missing_ok=True)
    found = open_checkpoint(tmp_path / "zero123-xl.ckpt")
    assert found.keys() == weights.keys()
    assert torch.equal(found["a.weight"], weights["a.weight"])
    assert not sprung.exists()


def test_beside_lightnings_classes_all_others_stay_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sprung = tmp_path / "sprung"
    callback = lightning_of_old(monkeypatch, tmp_path / "other")
    content = {"state_dict": {"a": torch.zeros(1)}, "callbacks": {callback: {}}, "trap": Trap(sprung)}
    torch.save(content, tmp_path / "trap.ckpt")
    with pytest.raises(BadWeights, match="nothing of it was run"):
        open_checkpoint(tmp_path / "trap.ckpt")
    assert not sprung.exists()


@pytest.mark.parametrize("name", ["cut.ckpt", "cut.safetensors"])
def test_a_file_that_was_cut_off_is_told_so(tmp_path: Path, name: str) -> None:
    whole = tmp_path / f"whole_{name}"
    tensors = {"a": torch.randn(1000)}
    if name.endswith("ckpt"):
        torch.save(tensors, whole)
    else:
        save_file(tensors, whole)
    content = whole.read_bytes()
    for kept in (len(content) // 2, 6, 0):
        (tmp_path / name).write_bytes(content[:kept])
        with pytest.raises(BadWeights, match=f"{kept} bytes"):
            open_checkpoint(tmp_path / name)


def test_files_without_tensors_and_missing_files(tmp_path: Path) -> None:
    torch.save({"state_dict": {"epoch": 3}}, tmp_path / "words.ckpt")
    with pytest.raises(BadWeights, match="no table of tensors"):
        open_checkpoint(tmp_path / "words.ckpt")
    with pytest.raises(BadInput, match="no file"):
        open_checkpoint(tmp_path / "missing.ckpt")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n", "Git LFS"),
        (b"<!DOCTYPE html>\n<html>Please log in</html>", "web page"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"hello, I am a checkpoint", "damaged"),
    ],
)
def test_what_a_download_left_instead_of_a_checkpoint_is_named(tmp_path: Path, content: bytes, word: str) -> None:
    (tmp_path / "model.ckpt").write_bytes(content)
    with pytest.raises(BadWeights, match=word) as caught:
        open_checkpoint(tmp_path / "model.ckpt")
    assert "weights_only" not in str(caught.value)


def test_a_safetensors_file_of_another_name_is_read(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "model.ckpt")
    assert torch.equal(open_checkpoint(tmp_path / "model.ckpt")["a"], torch.ones(2))


def test_a_refused_checkpoint_leaves_nothing_behind(tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(2, 2)}, tmp_path / "other.ckpt")
    out = tmp_path / "weights" / "out"
    with pytest.raises(BadWeights, match="not a SyncDreamer checkpoint"):
        main(["syncdreamer", str(tmp_path / "other.ckpt"), str(out)])
    assert not out.parent.exists()


def test_an_existing_folder_is_not_written_over(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is there already"):
        main(["zero123", str(tmp_path / "never_read.ckpt"), str(tmp_path)])


def test_written_files_are_read_by_safetensors(tmp_path: Path) -> None:
    tensors = {"odd": torch.randn(3), "matrix": torch.randn(4, 5).T, "single": torch.tensor(2.5)}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for dtype in (torch.float32, torch.float16):
        write_safetensors(tmp_path / "file.safetensors", shapes, tensors.__getitem__, dtype)
        found = load_file(tmp_path / "file.safetensors")
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[name], tensors[name].to(dtype)) for name in tensors)
    with pytest.raises(ValueError, match="was announced"):
        write_safetensors(tmp_path / "wrong.safetensors", {"odd": (4,)}, tensors.__getitem__, torch.float32)


def thirds(joined: Tensor) -> list[Tensor]:
    return [Origin("joined", change).made(joined) for change in ("query", "key", "value")]


def test_a_joined_attention_projection_is_split_as_torch_splits_it() -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x = torch.randn(1, 5, 8)
    query, key, value = (
        x @ weight.T + bias
        for weight, bias in zip(thirds(attention.in_proj_weight), thirds(attention.in_proj_bias), strict=True)
    )
    heads = [t.unflatten(-1, (2, 4)).transpose(1, 2) for t in (query, key, value)]
    read = nn.functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention.out_proj(read), attention(x, x, x)[0])
