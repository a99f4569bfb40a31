"""Ways to make a step of a network quick on a GPU, and the time and rate to measure it by."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn

from epimesh.stages.syncdreamer.blocks import ViewBlock, VolumeBlock
from epimesh.stages.syncdreamer.depth_attention import DepthAttention

RESIDUAL = (ResnetBlock2D,)
OTHERS = (Transformer2DModel, DepthAttention, ViewBlock, VolumeBlock)


class OutOfTime(BaseException):
    """Not an error, so that nothing takes it for one and goes on."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises `OutOfTime` in what takes longer."""
    if seconds <= 0:
        raise OutOfTime

    def ring(signal_number: int, frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class RecordedStep:
    """A step recorded once as a CUDA graph, and launched as one with other latents and times.

    Args:
        step: of latents and times; the same work on every call, and none of it on the CPU.
        like: latents of the shape that all will have.
    """

    def __init__(self, step: Callable[[Tensor, Tensor], Tensor], like: Tensor) -> None:
        self.noisy = like.clone()
        self.times = torch.ones(1, dtype=torch.int64, device=like.device)
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(3):  # what is chosen or compiled at a first call is no part of the record
                step(self.noisy, self.times)
        torch.cuda.current_stream().wait_stream(beside)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.predicted = step(self.noisy, self.times)

    def __call__(self, x: Tensor, time: int) -> Tensor:
        """The prediction; the next call overwrites it."""
        self.noisy.copy_(x)
        self.times.fill_(time)
        self.graph.replay()
        return self.predicted


def put_channels_last(module: nn.Module) -> None:
    """Weights of convolutions in the order in which tensor cores read them; maps follow."""
    for parameter in module.parameters():
        if parameter.dim() in (4, 5):
            order = torch.channels_last if parameter.dim() == 4 else torch.channels_last_3d
            parameter.data = parameter.data.to(memory_format=order)


def compile_blocks(module: nn.Module, kinds: tuple[type[nn.Module], ...]) -> None:
    """Compiles blocks of these kinds one by one; those of the same shapes are compiled once."""
    torch._dynamo.config.recompile_limit = 64  # shapes of one kind of block
    for block in module.modules():
        if isinstance(block, kinds) and block._compiled_call_impl is None:
            block.compile(dynamic=False)


def matmul_rate(device: str, size: int, repeats: int = 10) -> float:
    """Operations per second of a product of two random bfloat16 matrices."""
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))

    def wait() -> float:
        if left.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    for _ in range(3):
        left @ right
    began = wait()
    for _ in range(repeats):
        left @ right
    return 2 * size**3 * repeats / (wait() - began)
