"""What Zero-to-Hero is asked about: a photo and the true views of the ring, from objects or from given renderings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from texture import read_views

from epimesh.cameras import Cameras
from epimesh.data.objects import read_manifest
from epimesh.errors import BadInput
from epimesh.evaluation.ground_truth.truth_object import photo_of, truth_object
from epimesh.photo import Photo
from epimesh.views import Views

SIZE = 128  # pixels, as the small generator makes them
ELEVATION_DEG = 30.0


@dataclass(frozen=True, eq=False)
class Case:
    """A photo from azimuth 0, and the truth: 16 views at elevation 30, of which the first is the photo."""

    name: str
    photo: Photo
    truth: Views


def of_objects(folder: Path, split: str, count: int | None, names: Sequence[str]) -> list[Case]:
    """The first objects of a folder with a manifest, or the named ones."""
    records = [record for record in read_manifest(folder, split) if not names or record.id in names]
    if not records:
        raise BadInput(f"None of the objects {list(names)} is in split '{split}' of {folder}.")
    cases = []
    for record in records[:count]:
        truth = truth_object(record, elevation_deg=ELEVATION_DEG, size=256)
        cases.append(Case(record.id, truth.photo, truth.views(Cameras.ring(size=SIZE))))
    return cases


def of_gso(folder: Path, count: int | None, names: Sequence[str]) -> list[Case]:
    """Renderings of scanned objects: a folder for each, with 16 pictures of the ring."""
    folders = [
        one for one in sorted(folder.iterdir()) if (one / "015.png").is_file() and (not names or one.name in names)
    ]
    if not folders:
        raise BadInput(f"{folder} has no folder with pictures 000.png to 015.png among {list(names) or 'all'}.")
    cases = []
    for one in folders[:count]:
        views = read_views(one)
        cases.append(Case(one.name, photo_of(views, ELEVATION_DEG), reduced(views)))
    return cases


def reduced(views: Views) -> Views:
    """The views of the ring at the size of the small generators."""
    both = torch.cat([views.rgb, views.alpha], dim=1)
    small = F.interpolate(both, (SIZE, SIZE), mode="bilinear", antialias=True).clamp(0, 1)
    return Views(rgb=small[:, :3], alpha=small[:, 3:], cameras=Cameras.ring(size=SIZE))
