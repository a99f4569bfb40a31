"""What Zero-to-Hero's controls cost: time and memory per evaluation of the network, at several resolutions.

    python bench/attention_controls.py                                  # the small Zero-1-to-3, latents of 8, 16, 32
    python bench/attention_controls.py --network sd --sizes 32 --views 1 --early 2 --middle 1 --late 1 --repeats 1
    python bench/attention_controls.py --network sd --sizes 32 64 --device cuda --half

Every kind of sampling does the same number of evaluations, by turns, on random weights (cost does not depend on them).
CPU time is of this process, over all its threads. On a machine that does other work as well, trust it and not the wall.
"""

import argparse
import statistics
import time
from dataclasses import dataclass, replace

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from epimesh.diffusion.attention import PHOTO, AttentionControl, Layers, Row
from epimesh.diffusion.controlled_attention import controlled
from epimesh.diffusion.guidance import guided
from epimesh.diffusion.sampler import Ddim, Denoise, Resampling
from epimesh.diffusion.schedules import NoiseSchedule, hourglass_timesteps
from epimesh.diffusion.zero_to_hero import MapFilter, MutualSelfAttention
from epimesh.stages.zero123.network import small_view_denoiser


@dataclass(frozen=True)
class Cost:
    """Of one run, per evaluation: seconds and seconds of CPU; of the whole run: bytes."""

    wall: float
    cpu: float
    maps: int
    device: int


def network(kind: str) -> UNet2DConditionModel:
    """The small Zero-1-to-3's UNet, or one of the size of Stable Diffusion 1 as Zero-1-to-3 uses it."""
    if kind == "small":
        return small_view_denoiser().unet
    return UNet2DConditionModel(
        sample_size=32,
        in_channels=8,
        cross_attention_dim=768,
        attention_head_dim=8,
        block_out_channels=(320, 640, 1280, 1280),
    )


def denoiser(unet: UNet2DConditionModel) -> Denoise:
    """The UNet with conditions of zeros."""
    config = unet.config

    def denoise(x: Tensor, time: int) -> Tensor:
        empty = x.new_zeros(len(x), config.in_channels - x.shape[1], *x.shape[2:])
        tokens = x.new_zeros(len(x), 1, config.cross_attention_dim)
        width = config.projection_class_embeddings_input_dim
        labels = None if width is None else x.new_zeros(len(x), width)
        return unet(torch.cat([x, empty], dim=1), time, tokens, class_labels=labels).sample

    return denoise


@torch.inference_mode()
def cost(
    unet: UNet2DConditionModel, sampler: Ddim, controls: list[AttentionControl], views: int, size: int, *, photo: bool
) -> Cost:
    """Runs the sampler once, with guidance. The photo's row leaves the batch when mutual attention is over."""
    device, rows = unet.device, [*map(Row, range(views)), *[Row(PHOTO)] * photo]
    x = torch.randn(len(rows), unet.config.out_channels, size, size, device=device, dtype=unet.dtype)
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    wall, cpu = time.perf_counter(), time.process_time()
    with controlled(unet, controls) as steering:
        for part, now in zip(sampler.split(600), (rows, rows[:views]), strict=True):
            branches = ([row._replace(branch=branch) for row in now] for branch in ("conditional", "unconditional"))
            conditional, unconditional = (steering.told(denoiser(unet), branch) for branch in branches)
            x = part(guided(conditional, unconditional, 3.0), x[: len(now)], listen=steering.at)
    device_bytes = 0
    if device.type == "cuda":
        torch.cuda.synchronize()
        device_bytes = torch.cuda.max_memory_allocated()
    count = sampler.evaluations
    spent = (time.perf_counter() - wall) / count, (time.process_time() - cpu) / count
    return Cost(*spent, steering.peak_bytes, device_bytes)


def report(unet: UNet2DConditionModel, sampler: Ddim, size: int, given: argparse.Namespace) -> None:
    """One table row per kind of sampling."""
    filtering = MapFilter(layers=Layers(max_tokens=given.max_tokens))
    mutual = MutualSelfAttention(layers=Layers(inside=("up_blocks",), resolutions=decoder_sides(given.network, size)))
    kinds: dict[str, tuple[list[AttentionControl], bool]] = {
        "plain": ([], False),
        "filtered": ([filtering], False),
        "plain, with the photo's row": ([], True),
        "mutual": ([mutual], True),
        "filtered and mutual": ([filtering, mutual], True),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in kinds}
    cost(unet, replace(sampler, timesteps=[801, 1]), [filtering, mutual], given.views, size, photo=True)  # warm up
    for _ in range(given.repeats):
        for name, (controls, photo) in kinds.items():
            costs[name].append(cost(unet, sampler, controls, given.views, size, photo=photo))
    for name, (_, photo) in kinds.items():
        base = costs["plain, with the photo's row" if photo else "plain"]
        runs = costs[name]
        wall, cpu = (statistics.median(getattr(run, kind) for run in runs) for kind in ("wall", "cpu"))
        # By turns, so that a run and its base see the same neighbours.
        over = [
            statistics.median(getattr(a, kind) / getattr(b, kind) - 1 for a, b in zip(runs, base, strict=True))
            for kind in ("wall", "cpu")
        ]
        maps, device = max(run.maps for run in runs) / 2**20, max(run.device for run in runs) / 2**20
        print(
            f"| {size} | {name} | {wall * 1e3:.0f} | {cpu * 1e3:.0f} | {over[0]:+.1%} | {over[1]:+.1%} "
            f"| {maps:.1f} | {device:.0f} |",
            flush=True,
        )


def decoder_sides(kind: str, size: int) -> tuple[int, ...]:
    """The two finest resolutions at which the network attends: the small one leaves out the finest of all."""
    return (size, size // 2) if kind == "sd" else (size // 2, size // 4)


def main() -> None:
    """Reads the settings and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=["small", "sd"], default="small")
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 16, 32], help="sides of the latents")
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--passes", type=int, default=5, help="evaluations at every noisy time (R)")
    for part, count in (("early", 10), ("middle", 6), ("late", 10)):
        parser.add_argument(f"--{part}", type=int, default=count, help="times in this part of the hourglass")
    parser.add_argument("--max-tokens", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--half", action="store_true", help="the network in half precision")
    given = parser.parse_args()
    sampler = Ddim(
        schedule=NoiseSchedule.scaled_linear(),
        timesteps=hourglass_timesteps(given.early, given.middle, given.late),
        resampling=Resampling(passes=given.passes),
    )
    unet = network(given.network).to(given.device, torch.float16 if given.half else torch.float32).eval()
    print(f"{given.network}, {given.views} views x 2 branches, {sampler.evaluations} evaluations, {given.device}\n")
    print("| latents | sampling | ms | CPU ms | over plain, wall | over plain, CPU | MiB of maps | MiB on the device |")
    print("|---|---|---|---|---|---|---|---|")
    for size in given.sizes:
        report(unet, sampler, size, given)


if __name__ == "__main__":
    main()
