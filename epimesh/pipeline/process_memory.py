"""Memory of this process, now and at its peak over a stretch of time."""

import contextlib
import ctypes
import sys
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def reset_peak() -> None:
    """Starts a new stretch, where the system can do that (Linux); elsewhere the peak is that of the whole process."""
    try:
        _RESET.write_text("5")
    except OSError:
        return


def peak_bytes() -> int:
    """The largest resident memory since the last reset, in bytes; 0 where the system does not tell (Windows)."""
    try:
        return _resident_bytes("VmHWM")
    except (OSError, StopIteration):
        if sys.platform == "win32":
            return 0
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def held_bytes(device: str) -> int:
    """What is in use now: of the GPU's memory, or of this process where the system tells it."""
    if device.startswith("cuda"):
        return torch.cuda.memory_allocated(device)
    try:
        return _resident_bytes("VmRSS")
    except (OSError, StopIteration):
        return 500_000_000  # Python with torch and diffusers


def _resident_bytes(name: str) -> int:
    """What Linux says of the memory of this process: VmRSS now, VmHWM at its peak."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def give_back() -> None:
    """Returns freed memory to the system. glibc keeps what lay in pieces smaller than its threshold, which grows."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)
