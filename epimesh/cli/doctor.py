"""`epimesh doctor`: what is installed, what is missing, and what to do about it."""

import importlib
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from jsonargparse import ArgumentParser

from epimesh import __version__
from epimesh.weights import BUNDLED

_CORE = {
    "torch": "networks",
    "diffusers": "networks",
    "safetensors": "weights",
    "onnxruntime": "background removal",
    "numba": "fast reconstruction on a CPU",
    "trimesh": "reading meshes",
    "xatlas": "texture coordinates",
    "fast_simplification": "face counts",
    "pytorch_lightning": "training",
    "skimage": "marching cubes",
}
_EXTRAS = {
    "pillow_heif": ("heic", "HEIC photos of phones"),
    "gradio": ("app", "the web page and HTTP API of `epimesh serve`"),
    "ray": ("ray", "`epimesh batch` on a cluster"),
    "pxr": ("usd", "USD files"),
    "xformers": ("xformers", "another attention on GPUs"),
    "manifold3d": ("objects", "procedural objects with holes"),
}


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Args:
        name: what.
        ok: whether it works; extras that are missing are not ok, but not needed either.
        needed: whether epimesh cannot run without it.
        found: what was found.
        advice: what to do if it is not ok.
    """

    name: str
    ok: bool
    needed: bool
    found: str
    advice: str = ""


def main(arguments: list[str]) -> int:
    """Prints the checks; returns 2 if something that is needed is missing."""
    parser = ArgumentParser(
        prog="epimesh doctor", exit_on_error=False, description="Checks the installation and says what is missing."
    )
    parser.add_argument("--json", action="store_true", help="print for machines")
    config = parser.parse_args(arguments)
    checks = [_python(), *map(_core, _CORE), _open3d(), _accelerator(), *map(_extra, _EXTRAS), _bundled(), _memory()]
    broken = [check for check in checks if check.needed and not check.ok]
    if config.json:
        print(json.dumps({"epimesh": __version__, "ok": not broken, "checks": [asdict(check) for check in checks]}))
    else:
        _print(checks)
    return 2 if broken else 0


def _print(checks: list[Check]) -> None:
    for check in checks:
        mark = "ok     " if check.ok else "MISSING" if check.needed else "absent "
        print(f"{mark}  {check.name:<22} {check.found}" + ("" if check.ok else f"\n{'':33}{check.advice}"))


def _python() -> Check:
    version = platform.python_version()
    return Check(
        "python", sys.version_info >= (3, 10), True, f"{version} on {platform.platform()}", "Use Python 3.10+."
    )


def _core(module: str) -> Check:
    try:
        importlib.import_module(module)
    except Exception as error:  # a broken binary raises anything
        advice = "Install epimesh again: pip install --force-reinstall epimesh"
        if "torchvision" in str(error):
            advice = "A torchvision of another torch build is in the way: pip uninstall torchvision"
        return Check(module, False, True, f"{type(error).__name__}: {error}", advice)
    return Check(module, True, True, f"{_version(module)} ({_CORE[module]})")


def _open3d() -> Check:
    from epimesh.rendering.ray_casting import import_open3d

    try:
        return Check("open3d", True, True, f"{import_open3d().__version__} (ray casting)")
    except Exception as error:  # a missing system library shows as ImportError or OSError
        return Check("open3d", False, True, str(error), "pip install open3d libusb-package")


def _accelerator() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("GPU", True, False, torch.cuda.get_device_name())
    return Check("GPU", False, False, "no CUDA device seen", f"Not needed. {os.cpu_count()} CPU cores will be used.")


def _extra(module: str) -> Check:
    extra, purpose = _EXTRAS[module]
    found = importlib.util.find_spec(module) is not None
    text = f"{_version(module)} ({purpose})" if found else purpose
    return Check(module, found, False, text, f"Not needed. To have it: pip install 'epimesh[{extra}]'")


def _bundled() -> Check:
    folders = sorted(path.name for path in BUNDLED.iterdir() if path.is_dir()) if BUNDLED.is_dir() else []
    return Check("bundled weights", bool(folders), True, ", ".join(folders) or "none", "Install epimesh again.")


def _memory() -> Check:
    information = Path("/proc/meminfo")
    if not information.exists():
        return Check("free memory", True, False, "not known on this system")
    line = next(line for line in information.read_text().splitlines() if line.startswith("MemAvailable"))
    free = int(line.split()[1]) / 1e6
    return Check("free memory", free > 3, False, f"{free:.1f} GB", "The default preset wants 3 GB.")


def _version(module: str) -> str:
    packages = metadata.packages_distributions().get(module, [module])
    try:
        return metadata.version(packages[0])
    except metadata.PackageNotFoundError:
        return "unknown version"
