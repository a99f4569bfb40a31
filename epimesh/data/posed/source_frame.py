"""Moves posed views of any size and place into the frame of this package, and meshes back out of it."""

from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.data.posed.upright import turn_to
from epimesh.errors import BadInput
from epimesh.views import Views

_GRID = 56  # points per side of the grid that is carved
_ROUNDS = 3  # each carves a tighter box
_CELLS = 24  # per image side, of the coarse pictures in which what was carved is compared with the silhouettes
_LEAST_EXPLAINED = 0.5  # share of the silhouettes that has to be covered; imagined views disagree too, but less
_ALLOWED_MISSES = 0.05  # share of the views whose silhouette may leave a point out, for masks with mistakes
GUESSED_MISSES = 0.15  # the same where a network made the masks
_STRICTER = (0.0, 0.05, 0.1)  # are tried first once the worst of its masks are left out
_LARGEST_OFFSET = 0.3  # scene units; silhouettes from one height leave a cone below the object, so be generous
_HALF_BOX = 0.75  # scene units, of a box that holds every object of about unit size
_SIZES = (0.7, 1.4)  # longest sides that count as 1


_CHECK = (
    "Check that cameras and images belong together, that transform_matrix is camera-to-world with OpenGL axes (x "
    "right, y up, looking along -z), and that masks are white on the object."
)


_Row = tuple[float, float, float]
_UNTURNED = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class SourceFrame:
    """Where this package's frame lies in the coordinates that the views came in.

    source = transposed rotation * ours / scale + centre.

    Args:
        scale: scene units per unit of the source.
        centre: the middle of the object, in the source's coordinates.
        rotation: rows of the matrix that turns the source's axes into ours, with z up.
    """

    scale: float
    centre: tuple[float, float, float]
    rotation: tuple[_Row, _Row, _Row] = _UNTURNED

    def to_source(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Points of this package's frame in the coordinates of the source."""
        return points @ points.new_tensor(self.rotation) / self.scale + points.new_tensor(self.centre)

    def from_source(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Points of the source in this package's frame."""
        return (points - points.new_tensor(self.centre)) @ points.new_tensor(self.rotation).T * self.scale

    def is_standard(self) -> bool:
        """True if the source's object is centred, upright and about 1 long, so that nothing has to be moved."""
        smallest, largest = _SIZES
        centred = max(map(abs, self.centre)) * self.scale <= _LARGEST_OFFSET
        return centred and smallest <= 1 / self.scale <= largest and self.rotation == _UNTURNED

    def moved_by(self, origin: tuple[float, float, float]) -> "SourceFrame":
        """The same frame for a source whose coordinates had `origin` subtracted."""
        x, y, z = (mine + theirs for mine, theirs in zip(self.centre, origin, strict=True))
        return SourceFrame(self.scale, (x, y, z), self.rotation)

    def fitted(self, views: Views) -> Views:
        """The same views with their cameras in this package's frame. Depth changes with the scale."""
        cameras = views.cameras
        moved = cameras.world_to_camera.clone()
        moved[:, :3, 3] = self.scale * (moved[:, :3, 3] + moved[:, :3, :3] @ moved.new_tensor(self.centre))
        turn = moved.new_tensor(self.rotation)
        if self.rotation != _UNTURNED:
            moved[:, :3, :3] = moved[:, :3, :3] @ turn.T
        intrinsics = cameras.intrinsics.clone()
        if cameras.orthographic:
            intrinsics[:, [0, 1], [0, 1]] /= self.scale
        return Views(
            rgb=views.rgb,
            alpha=views.alpha,
            cameras=Cameras(moved, intrinsics, cameras.height, cameras.width, cameras.orthographic),
            normals=None if views.normals is None else torch.einsum("ij,vjhw->vihw", turn, views.normals),
            depth=None if views.depth is None else views.depth * self.scale,
        )


def source_frame_of(views: Views, up: Float[Tensor, "3"] | None = None, misses: float = _ALLOWED_MISSES) -> SourceFrame:
    """Where the object is and how large, from what all silhouettes leave of space.

    Args:
        views: with cameras in any coordinates.
        up: what becomes +z; None leaves the axes as they are.
        misses: share of the views whose silhouette may leave a point out.

    Raises:
        BadInput: the silhouettes agree on no point, or only on points that explain little of them.
    """
    if up is not None:
        turn = turn_to(up)
        rows = cast("tuple[_Row, _Row, _Row]", tuple(tuple(row) for row in turn.tolist()))
        inner = source_frame_of(SourceFrame(1.0, (0.0, 0.0, 0.0), rows).fitted(views), misses=misses)
        x, y, z = (torch.tensor(inner.centre, dtype=torch.float64) @ turn).tolist()
        return SourceFrame(inner.scale, (x, y, z), rows)
    centre = _looked_at(views.cameras)
    half = torch.full((3,), _reach(views.cameras, centre))
    for _ in range(_ROUNDS):
        axis = torch.linspace(-1, 1, _GRID)
        points = centre + torch.cartesian_prod(axis, axis, axis) * half
        inside = points[_inside_silhouettes(points, views, misses)]
        if len(inside) == 0:
            raise BadInput(f"The silhouettes of the {len(views)} views agree on no point in space.\n{_CHECK}")
        low, high = inside.amin(dim=0), inside.amax(dim=0)
        cell = 2 * half / (_GRID - 1)
        centre, half = (low + high) / 2, (high - low) / 2 + cell
    explained = _explained_share(inside, views)
    if explained < _LEAST_EXPLAINED:
        raise BadInput(
            f"All points on which the {len(views)} views agree fill only {explained:.0%} of their silhouettes, "
            f"expected nearly all.\n{_CHECK}"
        )
    longest = float((2 * (half - cell)).max() + cell.max())
    x, y, z = centre.tolist()
    return SourceFrame(scale=1 / longest, centre=(x, y, z))


def strictest_frame_of(views: Views, up: Float[Tensor, "3"] | None = None) -> SourceFrame:
    """The same with as few misses as the silhouettes allow.

    Points that a tenth of the views may leave out can lie far beside the object, where few cameras look. So a network's
    silhouettes are asked to agree as far as they do.

    Raises:
        BadInput: see `source_frame_of`.
    """
    for misses in _STRICTER:
        with suppress(BadInput):
            return source_frame_of(views, up, misses)
    return source_frame_of(views, up, GUESSED_MISSES)


def _looked_at(cameras: Cameras) -> Float[Tensor, "3"]:
    """The point closest to all viewing axes."""
    across = torch.eye(3) - cameras.forward[:, :, None] * cameras.forward[:, None]
    weak = 1e-4 * torch.eye(3)  # keeps nearly parallel cameras solvable
    centres = cameras.centres
    mean = centres.mean(dim=0)
    return mean + torch.linalg.solve(across.sum(0) + weak, (across @ (centres - mean)[..., None]).sum(0)[:, 0])


def _reach(cameras: Cameras, centre: Float[Tensor, "3"]) -> float:
    """Half the side of a box around `centre` that holds all that the images show there."""
    half_image = max(cameras.width, cameras.height) / 2
    focal = cameras.intrinsics[:, 0, 0]
    if cameras.orthographic:
        return float((half_image / focal).max())
    _, depth = cameras.project(centre)
    if not (depth > 0).any():
        raise BadInput(
            "All cameras look away from the point where their axes meet.\n"
            "Expected camera-to-world matrices with OpenGL axes: x right, y up, looking along -z."
        )
    return float((depth[depth > 0] * half_image / focal[depth > 0]).max())


def _inside_silhouettes(points: Float[Tensor, "N 3"], views: Views, allowed: float) -> Bool[Tensor, "N"]:
    """Points that lie in nearly all silhouettes of the views that have them in the image, and in half of the views."""
    misses, seen = torch.zeros(len(points)), torch.zeros(len(points))
    for index in range(len(views)):
        view = views[index]
        pixels, depth = view.cameras.project(points)
        u, v = pixels[:, 0].floor().long().unbind(-1)
        in_image = (u >= 0) & (v >= 0) & (u < view.cameras.width) & (v < view.cameras.height) & (depth[:, 0] > 0)
        solid = view.alpha[0, 0][v.clamp(0, view.cameras.height - 1), u.clamp(0, view.cameras.width - 1)] > 0.5
        misses += (in_image & ~solid).float()
        seen += in_image.float()
    return (misses <= int(allowed * len(views))) & (seen >= len(views) / 2)


def _explained_share(inside: Float[Tensor, "N 3"], views: Views) -> float:
    """Share of its silhouette that the points cover, in the middle one of all views.

    Nearly 1 for views that belong together, whatever the object's shape: what all silhouettes leave looks like them.
    """
    shares = sorted(one.explained for one in agreements(inside, views) if one is not None)
    return shares[len(shares) // 2] if shares else 1.0


def worst_explained(frame: SourceFrame, views: Views, below: float) -> list[tuple[int, float]]:
    """Views that show more, or less, than what nearly all of them leave: index and share, worst first.

    Args:
        frame: of these views.
        views: in the source's coordinates.
        below: views of which a smaller share agrees are named.
    """
    fitted = frame.fitted(views)
    axis = torch.linspace(-_HALF_BOX, _HALF_BOX, _GRID)
    points = torch.cartesian_prod(axis, axis, axis)
    found = agreements(points[_inside_silhouettes(points, fitted, GUESSED_MISSES)], fitted)
    shares = [(index, 0.0 if one is None else min(one)) for index, one in enumerate(found)]
    return sorted(((index, share) for index, share in shares if share < below), key=lambda entry: entry[1])


class Agreement(NamedTuple):
    """One silhouette beside what the others leave of the object.

    Args:
        explained: share of the silhouette that the object covers; little where something else was cut out as well.
        shown: share of the object, as far as the image has it, that the silhouette covers; little where parts of it
            were cut off.
    """

    explained: float
    shown: float


def agreements(inside: Float[Tensor, "N 3"], views: Views) -> list[Agreement | None]:
    """How every view's silhouette agrees with the points of an object; None where the view is empty."""
    found: list[Agreement | None] = []
    for index in range(len(views)):
        view = views[index]
        pixels, depth = view.cameras.project(inside)
        size = pixels.new_tensor([view.cameras.width, view.cameras.height])
        u, v = (pixels[:, 0] / size * _CELLS).floor().long().unbind(-1)
        in_image = (u >= 0) & (v >= 0) & (u < _CELLS) & (v < _CELLS) & (depth[:, 0] > 0)
        covered = torch.zeros(_CELLS, _CELLS, dtype=torch.bool)
        covered[v[in_image], u[in_image]] = True
        solid = torch.nn.functional.adaptive_avg_pool2d(view.alpha[0].float(), _CELLS)[0] > 0.5
        both = float((covered & solid).sum())
        empty = not solid.any()
        found.append(None if empty else Agreement(both / int(solid.sum()), both / max(int(covered.sum()), 1)))
    return found
