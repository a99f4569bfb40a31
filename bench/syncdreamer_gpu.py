"""The full-size SyncDreamer on a GPU: seconds for 16 views in 50 steps with guidance 2, decoded, in bfloat16.

    python bench/syncdreamer_gpu.py                               # every way to run it, the plainest first
    python bench/syncdreamer_gpu.py --ways eager graph --seconds 40
    python bench/syncdreamer_gpu.py --tiny --device cpu --steps 2  # only checks this script

Weights are random and made on the GPU: time does not depend on them. Measured are drawing the noise, all steps,
decoding all views and bringing them to the CPU, not the encoding of the photo. Every way runs twice, and the slower run
counts. A way that fails or takes too long says so, and the next one begins; after `--seconds` none does.

    eager        the product's network as it is
    graph        one step recorded as a CUDA graph
    channels     the same, with channels last in memory
    xformers     the same, with xformers' attention
    resnets      as channels, with the residual blocks compiled
    compile      the same, with all blocks compiled
"""

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from random_syncdreamer import Model, random_model
from step_on_gpu import (
    OTHERS,
    RESIDUAL,
    OutOfTime,
    RecordedStep,
    compile_blocks,
    matmul_rate,
    put_channels_last,
    within,
)
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from epimesh.diffusion.sampler import Ddim, Denoise
from epimesh.diffusion.schedules import NoiseSchedule, uniform_timesteps
from epimesh.stages.shared.attention_kernels import choose_attention

PEAK = 989e12  # dense bfloat16 operations per second of an H100 or H200 SXM, NVIDIA's data sheet


class Run(NamedTuple):
    """Seconds of everything and of decoding, and what was made."""

    whole: float
    decoding: float
    latents: Tensor
    images: Tensor


def eager(model: Model) -> Denoise:
    """The step as the stage takes it."""
    return lambda x, time: model.step(x, torch.full((1,), time, device=x.device))


def graph(model: Model) -> Denoise:
    """The whole step is one launch."""
    return RecordedStep(model.step, model.first_noise())


def channels(model: Model) -> Denoise:
    """Weights with channels last; maps follow them."""
    put_channels_last(model.denoiser)
    put_channels_last(model.autoencoder)
    return graph(model)


def xformers(model: Model) -> Denoise:
    """Another implementation of attention, for this way only."""
    unet, device = model.denoiser.unet.unet, str(model.device)
    choose_attention(unet, "xformers", device)
    try:
        return channels(model)
    finally:
        choose_attention(unet, "auto", device)


def resnets(model: Model) -> Denoise:
    """Norms and activations are fused, in the order of the channels."""
    compile_blocks(model.denoiser, RESIDUAL)
    return channels(model)


def compiled(model: Model) -> Denoise:
    """What lies between the blocks stays as it is."""
    compile_blocks(model.denoiser, RESIDUAL + OTHERS)
    return channels(model)


WAYS: dict[str, Callable[[Model], Denoise]] = {
    "eager": eager,
    "graph": graph,
    "channels": channels,
    "xformers": xformers,
    "resnets": resnets,
    "compile": compiled,
}


def wait(device: torch.device) -> float:
    """The time at which all work on the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def run(model: Model, step: Denoise, steps: int) -> Run:
    """All views from noise to images."""
    sampler = Ddim(
        schedule=NoiseSchedule.scaled_linear(ends_clean=False),
        timesteps=uniform_timesteps(steps, spacing="leading"),
        eta=1.0,
        noise_at_end=False,
    )
    began = wait(model.device)
    latents = sampler(step, model.first_noise(), generator=torch.Generator().manual_seed(2))
    sampled = wait(model.device)
    images = model.decoded(latents)
    ended = wait(model.device)
    return Run(ended - began, ended - sampled, latents, images)


def measured(model: Model, name: str, given: argparse.Namespace, flops: int, reached: float, first: Run | None) -> Run:
    """Runs one way, and prints its row."""
    on_gpu = model.device.type == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    began = wait(model.device)
    step = WAYS[name](model)
    run(model, step, 2)  # libraries load, and choose their algorithms
    ready = wait(model.device) - began
    worst = max((run(model, step, given.steps) for _ in range(2)), key=lambda one: one.whole)
    per_step = (worst.whole - worst.decoding) / given.steps
    memory = [torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()] if on_gpu else [0, 0]
    against = worst.latents - (worst if first is None else first).latents
    off = float(against.norm() / worst.latents.norm())
    print(
        f"| {name} | {worst.whole:.3f} | {per_step * 1e3:.2f} | {worst.decoding * 1e3:.0f} "
        f"| {memory[0] / 1e9:.2f} | {memory[1] / 1e9:.2f} | {flops / per_step / 1e12:.0f} "
        f"| {flops / per_step / PEAK:.1%} | {flops / per_step / reached:.1%} | {ready:.1f} | {off:.1e} |",
        flush=True,
    )
    if not worst.images.isfinite().all():
        print(f"{name}: the images are not finite", flush=True)
    return worst


@torch.inference_mode()
def main() -> None:
    """Reads the settings and prints a table."""
    started = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--seconds", type=float, default=60.0, help="no way begins, and none goes on, after these")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a model of no use but to check this script")
    given = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    model = random_model(given.device, torch.bfloat16, tiny=given.tiny)
    name = torch.cuda.get_device_name() if model.device.type == "cuda" else given.device
    reached = matmul_rate(given.device, 256 if given.tiny else 8192)
    with FlopCounterMode(display=False) as counter:
        eager(model)(model.first_noise(), 981)
    flops = counter.get_total_flops()
    print(f"{name}, torch {torch.__version__}, {model.denoiser.views} views, {given.steps} steps, {model.dtype}")
    print(f"matrix product {reached / 1e12:.0f} TFLOP/s; one step {flops / 1e12:.2f} TFLOP")
    print(f"ready after {wait(model.device) - started:.1f} s\n")
    print(
        "| way | seconds in all | ms per step | ms of decoding | GB allocated | GB reserved | TFLOP/s of a step ",
        end="",
    )
    print("| of 989 | of the matrix product | s to get ready | relative difference to eager |")
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    first: Run | None = None
    for way in given.ways:
        try:
            with within(given.seconds - (time.perf_counter() - started)):
                made = measured(model, way, given, flops, reached, first)
                first = first or made
        except OutOfTime:
            print(f"{way}: no time was left", flush=True)
        except Exception as error:  # the next way may work
            print(f"{way}: {type(error).__name__}: {str(error)[:600]}", flush=True)


if __name__ == "__main__":
    main()
