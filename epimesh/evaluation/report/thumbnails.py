"""Small pictures of what was imagined and what is true, kept beside the scores, for a page that people look at."""

import io
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from epimesh.evaluation.metrics.scores import Scores
from epimesh.files.meshes import write_whole
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.rendering.turntable import reach_of, turntable
from epimesh.views import Views, contact_sheet, to_picture

FOLDER = "pictures"  # beside the scores
TILE = 96  # pixels of one view
FRAMES, FRAME_SIZE = 12, 160  # of a turn, and pixels of each
_QUALITY = 75
PHOTO, TRUE_VIEWS, TRUE_TURN = "photo", "true-views", "true-turn"


class Thumbnails:
    """Pictures in a folder, one WebP file each: photos, strips of views, strips of the frames of a turn."""

    def __init__(self, folder: Path) -> None:
        """The folder is made with the first picture."""
        self._folder = folder

    def keep_truth(self, name: str, photo: Photo, views: Views, mesh: Mesh | None) -> None:
        """Of one object: the photo, the true views, and the true shape turning, where shapes are compared.

        Raises:
            BadInput: a file cannot be written.
        """
        self._keep(name, PHOTO, to_picture(_small(photo.on_white()[None], FRAME_SIZE)[0]))
        self._keep(name, TRUE_VIEWS, _strip(views.rgb))
        if mesh is not None:
            self._keep(name, TRUE_TURN, turn_strip(_uncoloured(mesh)))

    def keep_answer(
        self, name: str, seed: int | None, views: Views | None, mesh: Mesh | None, truth: Mesh | None = None
    ) -> None:
        """What was imagined of one object with one seed. The mesh turns at the scale of the truth, if it fits.

        Raises:
            BadInput: a file cannot be written.
        """
        if views is not None:
            self._keep(name, views_of(seed), _strip(views.rgb))
        if mesh is not None:
            reach = 0.0 if truth is None else reach_of(truth)
            self._keep(name, turn_of(seed), turn_strip(_uncoloured(mesh), reach))

    def find(self, name: str, what: str) -> bytes | None:
        """The WebP file of one picture; None if it was not kept."""
        path = self._path(name, what)
        return path.read_bytes() if path.is_file() else None

    def _keep(self, name: str, what: str, picture: Image.Image) -> None:
        write_whole({self._path(name, what): webp(picture)})

    def _path(self, name: str, what: str) -> Path:
        return self._folder / name / f"{what}.webp"


def views_of(seed: int | None) -> str:
    """Name of the strip of imagined views."""
    return f"views-{seed}"


def turn_of(seed: int | None) -> str:
    """Name of the strip of the turning mesh."""
    return f"turn-{seed}"


def subject_of(row: Scores) -> str:
    """Under which name the pictures of a row are kept: the object, and which of its views was the photo if that varies.

    The same as `PhotoOfRing.id`.
    """
    return row.object if row.photo is None else f"{row.object}-from-{row.photo:03d}"


def webp(picture: Image.Image) -> bytes:
    """The file of a picture."""
    content = io.BytesIO()
    picture.save(content, format="WEBP", quality=_QUALITY)
    return content.getvalue()


def _strip(rgb: Float[Tensor, "V 3 H W"]) -> Image.Image:
    return contact_sheet(_small(rgb.cpu().float(), TILE), columns=len(rgb))


def turn_strip(mesh: Mesh, reach: float = 0.0) -> Image.Image:
    """The frames of one turn side by side; see `turntable` for `reach`."""
    strip = Image.new("RGB", (FRAMES * FRAME_SIZE, FRAME_SIZE))
    for index, frame in enumerate(turntable(mesh, FRAMES, FRAME_SIZE, reach=reach)):
        strip.paste(frame, (index * FRAME_SIZE, 0))
    return strip


def _uncoloured(mesh: Mesh) -> Mesh:
    """The shape alone: so that shapes are compared and nothing else."""
    return Mesh(mesh.vertices, mesh.faces)


def _small(rgb: Float[Tensor, "V 3 H W"], size: int) -> Float[Tensor, "V 3 S S"]:
    return torch.nn.functional.interpolate(rgb, (size, size), mode="bilinear", antialias=True).clamp(0, 1)
