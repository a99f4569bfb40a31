"""Wonder3D and Zero123++ at full size with random weights: converted, loaded with every key checked, and one step.

    python bench/full_size.py wonder3d [--precision bf16] [--folder FOLDER]

The UNet is written as a pickled checkpoint in half precision, as publishers do, and converted as `epimesh weights get`
converts one. Loading refuses missing and unknown keys. Then comes one step of all six views with guidance. Every part
says its CPU seconds and peak memory. Nothing is downloaded. Needs 4 GB of disk and, in fp32, 6 GB of memory.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from safetensors import safe_open
from torch import Tensor

from epimesh.conversion.checkpoint import open_checkpoint
from epimesh.conversion.writing import write_safetensors
from epimesh.pipeline import process_memory
from epimesh.stages.wonder3d import rig
from epimesh.stages.wonder3d.network import cross_domain_unet, load_unet
from epimesh.stages.wonder3d.stage import Told, denoiser
from epimesh.stages.zero123plus.sampling import Read, sampled
from epimesh.weights.loading import load_part

WONDER3D: dict[str, Any] = {
    "_class_name": "UNetMV2DConditionModel",
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
ZERO123PLUS: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
}


@contextmanager
def measured(what: str):  # type: ignore[no-untyped-def]
    """Says what a stretch of work took."""
    process_memory.reset_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    print(
        f"{what}: {time.perf_counter() - wall:.0f} s, {time.process_time() - cpu:.0f} CPU s, peak "
        f"{process_memory.peak_bytes() / 1e9:.2f} GB",
        flush=True,
    )


def written(config: dict[str, Any], folder: Path) -> None:
    """A folder of random weights in half precision, by way of a pickled checkpoint."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    with torch.device("meta"):
        stock = {name: value for name, value in config.items() if name[0] != "_"}
        unet = cross_domain_unet(config) if "num_views" in config else UNet2DConditionModel(**stock)
    pickled = folder / "diffusion_pytorch_model.bin"
    torch.save({name: _random(name, tensor) for name, tensor in unet.state_dict().items()}, pickled)
    with measured("conversion"):
        tensors = open_checkpoint(pickled)
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        write_safetensors(pickled.with_suffix(".safetensors"), shapes, tensors.__getitem__, torch.float16)
    pickled.unlink()


def _random(name: str, like: Tensor) -> Tensor:
    if like.dim() < 2:
        return torch.full(like.shape, float("norm" in name and name.endswith("weight")), dtype=torch.float16)
    return (torch.randn(like.shape) * like[0].numel() ** -0.5).half()


def wonder3d(folder: Path, dtype: torch.dtype) -> tuple[Any, Callable[[], Tensor]]:
    """The network and its step: six views in two domains, with and without the photo."""
    unet = load_unet(folder).to(dtype)
    rows = 2 * rig.VIEWS
    told = Told(torch.randn(rows, 4, 32, 32).to(dtype), torch.randn(rows, 1, 768).to(dtype), rig.labels(rig.told()))
    told = told._replace(labels=told.labels.to(dtype))
    return unet, lambda: denoiser(unet, told, 3.0)(torch.randn(rows, 4, 32, 32).to(dtype), 981)


def zero123plus(folder: Path, dtype: torch.dtype) -> tuple[Any, Callable[[], Tensor]]:
    """The network and its step: one picture of six tiles, with and without the photo, which is read first."""
    unet = load_part(UNet2DConditionModel, folder).to(dtype)
    read = Read(torch.randn(2, 4, 64, 64).to(dtype), torch.randn(2, 77, 1024).to(dtype))
    start = torch.randn(1, 4, 120, 80).to(dtype)
    return unet, lambda: sampled(unet, start, read, steps=1, guidance=4.0, noise_like=torch.randn_like)


MODELS = {"wonder3d": (WONDER3D, wonder3d), "zero123plus": (ZERO123PLUS, zero123plus)}


def main() -> None:
    """Prints what one model took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--folder", type=Path, default=Path(gettempdir()) / "full_size")
    parsed = parser.parse_args()
    config, make = MODELS[parsed.model]
    torch.manual_seed(0)
    written(config, parsed.folder)
    dtype = torch.float32 if parsed.precision == "fp32" else torch.bfloat16
    try:
        with measured("loading"):
            unet, step = make(parsed.folder, dtype)
        with safe_open(parsed.folder / "diffusion_pytorch_model.safetensors", "pt") as stored:
            names = set(stored.offset_keys())
        numbers = sum(parameter.numel() for parameter in unet.parameters())
        print(
            f"{len(names)} tensors in the file, {len(names - set(unet.state_dict()))} of them without a place, "
            f"{len(set(unet.state_dict()) - names)} places empty; {numbers:,} numbers"
        )
        with measured("one step"), torch.inference_mode():
            made = step()
        print(f"made {tuple(made.shape)}, all finite: {bool(made.isfinite().all())}")
    finally:
        shutil.rmtree(parsed.folder)


if __name__ == "__main__":
    main()
