"""One denoising step of the full-size SyncDreamer with random weights: CPU seconds and peak memory.

    OMP_NUM_THREADS=2 python bench/syncdreamer.py FOLDER [--max-memory 2GB]

FOLDER gets the random weights (4 GB) if it does not hold them yet. The step is the first of 50: 16 views, guidance 2,
single precision. The reference implementation needs about 229 CPU seconds and 5.2 GB for it on 2 cores.
"""

import argparse
import resource
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from epimesh.pipeline.process_memory import held_bytes, peak_bytes
from epimesh.runtime import bytes_of
from epimesh.stages.shared.attention_kernels import choose_attention
from epimesh.stages.syncdreamer.denoiser import Conditions, JointDenoiser, classifier_free
from epimesh.stages.syncdreamer.memory_budget import views_at_once
from epimesh.stages.syncdreamer.unet import DepthUNet
from epimesh.stages.syncdreamer.volume import SpatialVolume
from epimesh.stages.syncdreamer.weight_streaming import Streamed
from epimesh.weights.loading import load_part, weights_file

REFERENCE_SECONDS, REFERENCE_GB = 228.5, 5.22 * 1.0737


def random_weights(folder: Path) -> None:
    """Weights of the full size; none of them zero, so that no layer is without work."""
    for name, kind in (("volume", SpatialVolume), ("unet", DepthUNet)):
        if (folder / name).is_dir():
            continue
        torch.manual_seed(0)
        model = kind()
        if isinstance(model, DepthUNet):
            for layer in model.modules():
                if hasattr(layer, "to_k") and hasattr(layer, "conv2"):
                    torch.nn.init.normal_(layer.conv2.weight, std=0.02)
        model.save_config(folder / name)
        save_file(model.state_dict(), folder / name / "diffusion_pytorch_model.safetensors")


def cpu_seconds() -> float:
    """Spent by this process, all threads together."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def control_seconds() -> float:
    """CPU seconds of fixed work: how much other programs slow this one down by sharing caches and memory."""
    matrix = torch.ones(2048, 2048)
    matrix @ matrix
    before = cpu_seconds()
    for _ in range(20):
        matrix @ matrix
    return cpu_seconds() - before


def main() -> None:
    """Measures, and prints beside the reference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--max-memory", default=None, help="e.g. 2GB; fewer views then run at once")
    arguments = parser.parse_args()
    if not all((arguments.folder / name).is_dir() for name in ("unet", "volume")):
        random_weights(arguments.folder)
        print("weights written; run again to measure in a fresh process")
        return
    unet = load_part(DepthUNet, arguments.folder / "unet", on_meta=True)
    denoiser = JointDenoiser(unet, load_part(SpatialVolume, arguments.folder / "volume"))
    unet.keep = Streamed(unet, weights_file(arguments.folder / "unet"))
    choose_attention(unet.unet, "auto", "cpu")
    torch.manual_seed(1)
    view = denoiser.volume.rig.view_vectors(torch.zeros(1))
    conditions = Conditions(torch.randn(1, 4, 32, 32), torch.randn(1, 16, 1, 768), view)
    noisy, times = torch.randn(1, 16, 4, 32, 32), torch.tensor([981])
    guidance = classifier_free(2.0)
    unet.batch = views_at_once(denoiser, 2, bytes_of(arguments.max_memory), held_bytes("cpu"))
    print(f"{unet.batch} views at once at the finest resolution")
    control, started = control_seconds(), time.perf_counter()
    with torch.inference_mode():  # what `JointDenoiser.forward` does, in two parts
        before = cpu_seconds()
        rays = denoiser.rays(noisy, times, view)
        middle = cpu_seconds()
        every = torch.arange(16)[None]
        found = guidance.combined(denoiser.predictions(noisy, times, conditions, rays, every, guidance.branches))
        after = cpu_seconds()
    wall, peak = time.perf_counter() - started, peak_bytes() / 1e9
    step = after - before
    print(f"step {step:.1f} CPU s (volume branch {middle - before:.1f}), {wall:.0f} s wall")
    print(f"share of the reference's CPU time {step / REFERENCE_SECONDS:.2f}")
    print(f"control (matrix products) {control:.2f} CPU s before, {control_seconds():.2f} after")
    print(f"peak {peak:.2f} GB, share of the reference's {peak / REFERENCE_GB:.2f}")
    print(f"result: mean {float(found.mean()):.6f}, standard deviation {float(found.std()):.6f}")


if __name__ == "__main__":
    main()
