"""From one photo of an object to a textured mesh. `from epimesh import ImageTo3D` and see the README."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epimesh.cameras import Cameras
    from epimesh.mesh import Mesh
    from epimesh.photo import Photo
    from epimesh.pipeline.image_to_3d import ImageTo3D
    from epimesh.runtime import Runtime
    from epimesh.surface import Surface
    from epimesh.views import LatentViews, Views

__version__ = "0.1.0"

_HOMES = {
    "Cameras": "epimesh.cameras",
    "ImageTo3D": "epimesh.pipeline.image_to_3d",
    "LatentViews": "epimesh.views",
    "Mesh": "epimesh.mesh",
    "Photo": "epimesh.photo",
    "Runtime": "epimesh.runtime",
    "Surface": "epimesh.surface",
    "Views": "epimesh.views",
}

__all__ = ["Cameras", "ImageTo3D", "LatentViews", "Mesh", "Photo", "Runtime", "Surface", "Views", "__version__"]


def __dir__() -> list[str]:
    """The public names, also those that are not imported yet."""
    return sorted({*globals(), *_HOMES})


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `epimesh --help` need not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'epimesh' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
