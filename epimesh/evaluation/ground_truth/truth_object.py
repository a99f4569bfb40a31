"""One object of a test set, ready to be asked about: its mesh at the right size and the photo a generator is given."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from epimesh.cameras import FOV_DEG, Cameras
from epimesh.data.objects import ObjectRecord, load_object
from epimesh.data.packs.render_objects import fitting_scale
from epimesh.evaluation.baselines.photo_only import silhouette_hull
from epimesh.evaluation.metrics.occupancy import occupancy
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.rendering.ray_casting import Light, render_mesh
from epimesh.views import Views

FULL = 0.5  # share of the hull of its true silhouettes that a solid fills, at least
HULL_SIZE = 128  # pixels


@dataclass(frozen=True, eq=False)
class TruthObject:
    """The truth about one object.

    Args:
        mesh: scaled by `scale`.
        photo: rendered from azimuth 0; cut out by construction.
        scale: the largest factor up to 1 with which no view of the ring and no photo is clipped.
    """

    mesh: Mesh
    photo: Photo
    scale: float

    def views(self, cameras: Cameras, threads: int = 0) -> Views:
        """What the cameras would really see, in the light of the photo."""
        return render_mesh(self.mesh, cameras, light=Light(), threads=threads)

    def cameras(self, size: int) -> Cameras:
        """From where the truth is seen when nobody asked for other views: the standard ring."""
        return Cameras.ring(size=size)

    def comparable(self, views: Views) -> Views:
        """The views of an answer as they are compared: here as they are."""
        return views

    def is_full(self) -> bool:
        """False of walls around an empty inside, as many models are: their volume says nothing of their shape."""
        hull = silhouette_hull(self.views(Cameras.ring(size=HULL_SIZE)))
        filled, allowed = (int(occupancy(mesh).inside.sum()) for mesh in (self.mesh, hull))
        return filled >= FULL * allowed


@runtime_checkable
class Subject(Protocol):
    """Something a generator is asked about, of which the truth is known."""

    @property
    def id(self) -> str: ...

    @property
    def content(self) -> Path | str:
        """What the truth is made of, a file or a hash of it: with other content the answers are judged again."""
        ...

    def truth(self, *, elevation_deg: float, size: int) -> TruthObject:
        """The truth, with a photo from that elevation and of that size."""
        ...


@dataclass(frozen=True)
class RenderedObject:
    """A subject whose photo and true views are rendered from an object of a data set."""

    record: ObjectRecord

    @property
    def id(self) -> str:
        """As in the manifest."""
        return self.record.id

    @property
    def content(self) -> Path:
        """The object's file."""
        return self.record.path

    def truth(self, *, elevation_deg: float, size: int) -> TruthObject:
        """See `truth_object`."""
        return truth_object(self.record, elevation_deg=elevation_deg, size=size)


def truth_object(record: ObjectRecord, *, elevation_deg: float, size: int, threads: int = 0) -> TruthObject:
    """Loads an object, fits it into the frame and takes its photo.

    Args:
        record: which object.
        elevation_deg: of the photo; its azimuth is 0.
        size: of the photo, in pixels.
        threads: of the ray caster; 0 means all cores.

    Raises:
        BadInput: the object cannot be read.
    """
    mesh = load_object(record.path)
    camera = Cameras.on_sphere(torch.zeros(1), torch.tensor([elevation_deg]), size=size)
    scale = fitting_scale(mesh.vertices, Cameras.joined([camera, Cameras.ring(size=size)]))
    mesh = replace(mesh, vertices=mesh.vertices * scale)
    shown = render_mesh(mesh, camera, light=Light(), threads=threads)
    return TruthObject(mesh, photo_of(shown, elevation_deg), scale)


def photo_of(shown: Views, elevation_deg: float) -> Photo:
    """The first view as a photo with straight alpha."""
    return Photo(torch.cat([shown.straight_rgb()[0], shown.alpha[0]]), elevation_deg, FOV_DEG)
