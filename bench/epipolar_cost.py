"""What one form of the epipolar attention costs at one level of the decoder, on a CPU or a GPU."""

import time
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.decoders.epipolar.attention import EpipolarAttention
from epimesh.decoders.epipolar.geometry import Segments, epipolar_segments, ray_offsets, ring_sources
from epimesh.decoders.epipolar.reference import literal_attention
from epimesh.pipeline.process_memory import peak_bytes, reset_peak

VIEWS = 6
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Level(NamedTuple):
    """One up-block's maps, and points per segment."""

    channels: int
    size: int
    samples: int


LEVELS = (Level(512, 32, 7), Level(512, 64, 7), Level(256, 128, 7), Level(128, 256, 2))


class Cost(NamedTuple):
    """CPU seconds over all threads, wall seconds, bytes on top, bytes of the whole process, and a number to compare."""

    cpu: float
    wall: float
    extra: int
    peak: int
    mean: float


class Problem(NamedTuple):
    """A layer, and what it is given."""

    layer: EpipolarAttention
    features: Tensor
    segments: Segments

    def solved(self, form: str, max_bytes: int) -> Tensor:
        """The maps, with what was found added."""
        if form == "fast":
            return self.layer(self.features, self.segments, max_bytes=max_bytes)
        return literal_attention(self.layer, self.features, self.segments)


def problem(level: Level, size: int, device: str, precision: str) -> Problem:
    """Random maps and weights, and a plate in front of every camera: of known depth, and within the other images."""
    torch.manual_seed(0)
    layer = EpipolarAttention(level.channels, VIEWS - 1)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=level.channels**-0.5)
    depth = 1.4 + 0.2 * torch.rand(VIEWS, size, size)
    offsets = ray_offsets(torch.full((level.samples,), 0.5), 0.1)
    cameras = Cameras.ring(VIEWS, size=size)
    segments = epipolar_segments(cameras, depth, sources=ring_sources(VIEWS, VIEWS - 1), offsets=offsets)
    features = torch.randn(VIEWS, level.channels, size, size)
    dtype = PRECISIONS[precision]
    return Problem(layer.to(device, dtype), features.to(device, dtype), segments.to(torch.device(device)))


@torch.inference_mode()
def cost_on_cpu(form: str, level: Level, max_bytes: int) -> Cost:
    """Runs one form once on the CPU, after a first run on a small map that pays for loading libraries."""

    def run(size: int) -> Cost:
        given = problem(level, size, "cpu", "fp32")
        reset_peak()
        held, cpu, wall = peak_bytes(), time.process_time(), time.perf_counter()
        out = given.solved(form, max_bytes)
        cpu, wall, peak = time.process_time() - cpu, time.perf_counter() - wall, peak_bytes()
        return Cost(cpu, wall, peak - held, peak, float(out.square().mean()))

    run(8)
    return run(level.size)


@torch.inference_mode()
def cost_on_gpu(form: str, level: Level, max_bytes: int, precision: str) -> Cost:
    """Runs one form on a GPU, the second time counting."""
    given = on_gpu(level, precision)
    for _ in range(2):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        held, cpu, wall = torch.cuda.memory_allocated(), time.process_time(), time.perf_counter()
        out = given.solved(form, max_bytes)
        torch.cuda.synchronize()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        peak = torch.cuda.max_memory_allocated()
        mean = float(out.float().square().mean())
        del out
    return Cost(cpu, wall, peak - held, peak, mean)


@cache
def on_gpu(level: Level, precision: str) -> Problem:
    """What both forms are given; made on the CPU once."""
    return problem(level, level.size, "cuda", precision)
