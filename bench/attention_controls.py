"""What Zero-to-Hero's controls cost: time and memory per evaluation of the network, at several resolutions.

    python bench/attention_controls.py                                  # the small Zero-1-to-3, latents of 8, 16, 32
    python bench/attention_controls.py --sizes 16 --views 16 --branches 1    # as its stage is used
    python bench/attention_controls.py --network sd --sizes 32 --views 1 --early 2 --middle 1 --late 1 --repeats 1
    python bench/attention_controls.py --network sd --device cuda --precision bf16 --sizes 32 --max-tokens 1024 256

Every kind of sampling does the same number of evaluations, by turns, on random weights (cost does not depend on them).
Both branches of guidance are one batch, as in the published generators. The photo's own view, which mutual attention
reads from, is a row more until its window ends; what it costs is told apart from what the controls do. Filtering leaves
out layers of more than `--max-tokens`: 1024, 256 and 64 are maps of 32 x 32, 16 x 16 and 8 x 8. CPU time is of this
process, over all its threads. On a machine that does other work as well, trust it and not the wall.
"""

import argparse
import statistics
import time
from dataclasses import dataclass, replace

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from epimesh.diffusion.attention_control.controller import AttentionControl, Layers
from epimesh.diffusion.attention_control.map_filter import MapFilter
from epimesh.diffusion.attention_control.mutual import MutualSelfAttention
from epimesh.diffusion.attention_control.processor import controlled
from epimesh.diffusion.sampler import Ddim, Denoise, Resampling
from epimesh.diffusion.schedules import NoiseSchedule, hourglass_timesteps
from epimesh.stages.shared.attention_kernels import choose_attention
from epimesh.stages.shared.zero_to_hero import rows
from epimesh.stages.syncdreamer.unet import zero123_unet_config
from epimesh.stages.zero123.small_network import small_view_denoiser

GUIDANCE = 3.0
BRANCHES = ("conditional", "unconditional")
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Cost:
    """Of one run, per evaluation: seconds and seconds of CPU; of the whole run: bytes."""

    wall: float
    cpu: float
    maps: int
    device: int


def network(kind: str, device: str, dtype: torch.dtype) -> UNet2DConditionModel:
    """The small Zero-1-to-3's UNet, or one of the size of Stable Diffusion 1 as Zero-1-to-3 uses it."""
    with torch.device(device):
        unet = small_view_denoiser().unet if kind == "small" else UNet2DConditionModel(**zero123_unet_config())
    if kind == "sd":
        choose_attention(unet, "auto", device)
    return unet.to(device, dtype).eval().requires_grad_(False)


def denoiser(unet: UNet2DConditionModel, branches: int) -> Denoise:
    """The UNet with conditions of zeros, and guidance if there are two branches of it."""
    config = unet.config

    def predicted(x: Tensor, time: int) -> Tensor:
        empty = x.new_zeros(len(x), config.in_channels - x.shape[1], *x.shape[2:])
        tokens = x.new_zeros(len(x), 1, config.cross_attention_dim)
        width = config.projection_class_embeddings_input_dim
        labels = None if width is None else x.new_zeros(len(x), width)
        return unet(torch.cat([x, empty], dim=1), time, tokens, class_labels=labels).sample

    def denoise(x: Tensor, time: int) -> Tensor:
        if branches == 1:
            return predicted(x, time)
        conditional, unconditional = predicted(x.repeat(2, 1, 1, 1), time).chunk(2)
        return unconditional + GUIDANCE * (conditional - unconditional)

    return denoise


@torch.inference_mode()
def cost(
    unet: UNet2DConditionModel,
    sampler: Ddim,
    controls: list[AttentionControl],
    size: int,
    given: argparse.Namespace,
    *,
    photo: bool,
) -> Cost:
    """Runs the sampler once. The photo's row leaves the batch when mutual attention is over."""
    device, views, branches = unet.device, given.views, BRANCHES[: given.branches]
    x = torch.randn(views + photo, unet.config.out_channels, size, size, device=device, dtype=unet.dtype)
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    wall, cpu = time.perf_counter(), time.process_time()
    with controlled(unet, controls) as controller:
        for part, with_photo in zip(sampler.split(600), (photo, False), strict=True):
            x = x if with_photo else x[:views]
            told = controller.with_rows(denoiser(unet, len(branches)), rows(range(views), with_photo, branches))
            x = part(told, x, listen=controller.at)
    device_bytes = 0
    if device.type == "cuda":
        torch.cuda.synchronize()
        device_bytes = torch.cuda.max_memory_allocated()
    count = sampler.evaluations
    spent = (time.perf_counter() - wall) / count, (time.process_time() - cpu) / count
    return Cost(*spent, controller.peak_bytes, device_bytes)


def report(unet: UNet2DConditionModel, sampler: Ddim, size: int, most: int, given: argparse.Namespace) -> None:
    """One table row per kind of sampling."""
    filtering = MapFilter(layers=Layers(max_tokens=most))
    mutual = MutualSelfAttention(layers=Layers(inside=("up_blocks",), resolutions=decoder_sides(given.network, size)))
    kinds: dict[str, tuple[list[AttentionControl], bool]] = {
        "plain": ([], False),
        "filtered": ([filtering], False),
        "plain, with the photo's row": ([], True),
        "mutual": ([mutual], True),
        "filtered and mutual": ([mutual, filtering], True),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in kinds}
    cost(unet, replace(sampler, timesteps=[801, 1]), [mutual, filtering], size, given, photo=True)  # warm up
    for _ in range(given.repeats):
        for name, (controls, photo) in kinds.items():
            costs[name].append(cost(unet, sampler, controls, size, given, photo=photo))
    for name, (_, photo) in kinds.items():
        runs, same_rows = costs[name], costs["plain, with the photo's row" if photo else "plain"]
        wall, cpu = (statistics.median(getattr(run, kind) for run in runs) for kind in ("wall", "cpu"))
        # By turns, so that a run and its base see the same neighbours.
        over = [
            statistics.median(getattr(a, kind) / getattr(b, kind) - 1 for a, b in zip(runs, base, strict=True))
            for kind, base in (("wall", costs["plain"]), ("cpu", costs["plain"]), ("cpu", same_rows))
        ]
        maps, device = max(run.maps for run in runs) / 2**20, max(run.device for run in runs) / 2**20
        print(
            f"| {size} | {most} | {name} | {wall * 1e3:.1f} | {cpu * 1e3:.1f} | {over[0]:+.1%} | {over[1]:+.1%} "
            f"| {over[2]:+.1%} | {maps:.1f} | {device:.0f} |",
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
    parser.add_argument("--branches", type=int, choices=[1, 2], default=2, help="of guidance; 1 is none")
    parser.add_argument("--passes", type=int, default=5, help="evaluations at every noisy time (R)")
    for part, count in (("early", 10), ("middle", 6), ("late", 10)):
        parser.add_argument(f"--{part}", type=int, default=count, help="times in this part of the hourglass")
    parser.add_argument("--max-tokens", type=int, nargs="+", default=[1024])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=list(PRECISIONS), default="fp32")
    given = parser.parse_args()
    sampler = Ddim(
        schedule=NoiseSchedule.scaled_linear(),
        timesteps=hourglass_timesteps(given.early, given.middle, given.late),
        resampling=Resampling(passes=given.passes),
    )
    unet = network(given.network, given.device, PRECISIONS[given.precision])
    device = torch.cuda.get_device_name() if unet.device.type == "cuda" else given.device
    rows_told = f"{given.views} views x {given.branches} branches, {sampler.evaluations} evaluations"
    print(f"{given.network}, {given.precision}, {device}: {rows_told}")
    print("\n| latents | most tokens | sampling | ms | CPU ms | over plain, wall | over plain, CPU ", end="")
    print("| over plain with as many rows, CPU | MiB of maps | MiB on the device |\n" + "|---" * 10 + "|", flush=True)
    for size in given.sizes:
        for most in given.max_tokens:
            report(unet, sampler, size, most, given)


if __name__ == "__main__":
    main()
