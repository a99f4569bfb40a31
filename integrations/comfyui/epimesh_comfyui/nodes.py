"""The node. ComfyUI gives images as float tensors [batch, height, width, 3] from 0 to 1, and masks as [batch, H, W]."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from .client import SERVER, Client


class EpimeshMeshFromImage:
    """Makes a textured mesh of the object in the first image."""

    CATEGORY = "3d/epimesh"
    FUNCTION = "make"
    RETURN_TYPES = ("STRING", "IMAGE")
    RETURN_NAMES = ("glb_path", "views")
    OUTPUT_NODE = False

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """What the node has sockets and widgets for."""
        return {
            "required": {
                "image": ("IMAGE",),
                "preset": ("STRING", {"default": "", "tooltip": "empty takes the server's first one"}),
                "estimate_elevation": ("BOOLEAN", {"default": True}),
                "elevation": ("FLOAT", {"default": 20.0, "min": -90.0, "max": 90.0, "step": 1.0}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 999_999_999}),
                "server": ("STRING", {"default": SERVER}),
            },
            "optional": {"mask": ("MASK",)},
        }

    def make(
        self,
        image: torch.Tensor,
        preset: str,
        estimate_elevation: bool,
        elevation: float,
        seed: int,
        server: str,
        mask: torch.Tensor | None = None,
    ) -> tuple[str, torch.Tensor]:
        """The path of a GLB in ComfyUI's output folder, and the views as one image [1, H, W, 3].

        Raises:
            ServerError: the server is not there, or made no mesh; ComfyUI shows the message.
        """
        photo = _png(image[0])
        client = Client(server)
        settings = {
            "elevation": "auto" if estimate_elevation else f"{elevation:g}",
            "seed": str(seed),
            "formats": "glb",
        }
        if preset:
            settings["preset"] = preset
        name = f"epimesh_{hashlib.sha256(photo).hexdigest()[:8]}_{seed}"
        given = None if mask is None else _png(mask[0])
        files = client.make(photo, f"{name}.png", mask=given, settings=settings, tell=_progress)
        folder = _output_folder()
        glb = client.fetch(files[f"{name}.glb"], folder / f"{name}.glb")
        views = client.fetch(files["views.png"], folder / f"{name}_views.png")
        return str(glb), _tensor(views)


def _png(picture: torch.Tensor) -> bytes:
    """[H, W, 3] or [H, W], 0 to 1, as a file."""
    content = io.BytesIO()
    Image.fromarray((picture.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()).save(content, format="PNG")
    return content.getvalue()


def _tensor(file: Path) -> torch.Tensor:
    with Image.open(file) as picture:
        return torch.from_numpy(np.asarray(picture.convert("RGB")).astype(np.float32) / 255)[None]


def _output_folder() -> Path:
    """ComfyUI's, where its nodes for 3D look; outside of ComfyUI the folder we are in."""
    try:
        import folder_paths
    except ImportError:
        return Path.cwd()
    return Path(folder_paths.get_output_directory())


def _progress(line: str) -> None:
    print(f"epimesh: {line}")  # ComfyUI shows it in its log
