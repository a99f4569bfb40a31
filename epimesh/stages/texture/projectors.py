"""All images that paint a surface, prepared when they are asked, so that a hundred photos fit into memory."""

from collections.abc import Sequence
from typing import overload

from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.rendering.ray_casting import RayCaster
from epimesh.stages.texture.view_projector import ViewProjector
from epimesh.views import Views

_KEPT_BYTES = 600_000_000  # of prepared images; those beyond are prepared anew each time they are asked
_BYTES_PER_PIXEL = 32


class Projectors(Sequence[ViewProjector]):
    """The views, and the photo last."""

    def __init__(self, surface: Mesh, views: Views | None, photo: Photo | None) -> None:
        self._views, self._photo = views, photo
        self._caster = RayCaster(surface.vertices, surface.faces)
        self._kept: dict[int, ViewProjector] = {}
        self._count = 0 if views is None else len(views)
        pixels = 1 if views is None else views.rgb.shape[2] * views.rgb.shape[3]
        self._room = 1 + int(_KEPT_BYTES / (_BYTES_PER_PIXEL * pixels))

    def __len__(self) -> int:
        return self._count + (self._photo is not None)

    @overload
    def __getitem__(self, index: int) -> ViewProjector: ...
    @overload
    def __getitem__(self, index: slice) -> list[ViewProjector]: ...
    def __getitem__(self, index: int | slice) -> ViewProjector | list[ViewProjector]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        if index in self._kept:
            return self._kept[index]
        prepared = self._prepared(index)
        if len(self._kept) < self._room:
            self._kept[index] = prepared
        return prepared

    def _prepared(self, index: int) -> ViewProjector:
        photo, views = self._photo, self._views
        if photo is not None and index == self._count:
            return ViewProjector.of(photo.rgba[:3], photo.rgba[3], photo.camera, self._caster, True)
        assert views is not None
        rgb, alpha = views.rgb[index].float(), views.alpha[index].float().clamp(0, 1)
        straight = ((rgb - 1 + alpha) / alpha.clamp_min(1e-3)).clamp(0, 1)
        return ViewProjector.of(straight, alpha[0], views.cameras[index], self._caster, False)
