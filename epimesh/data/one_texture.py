"""Makes one mesh with one texture of parts that have their own."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, sqrt

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from epimesh.mesh import Mesh

ATLAS_SIDE = 2048  # pixels; the pictures of parts share them
_REPEATS = 4  # how often a picture may repeat on one triangle, along each side
_TOLERANCE = 1e-3  # by which texture coordinates may leave the picture without asking for its repetition


def joined(parts: Sequence[Mesh]) -> Mesh:
    """All parts in one mesh: unchanged if there is only one, with colours per vertex if no part has a texture.

    Otherwise every picture gets a square cell of a new one. Pictures that repeat on a part are repeated in their cell.
    """
    if len(parts) == 1:
        return parts[0]
    if all(part.texture is None for part in parts):
        colors = torch.cat([part.vertex_rgb for part in parts if part.vertex_rgb is not None])
        return replace(_merged(parts), vertex_rgb=colors)
    pieces, pictures = _on_pictures(parts)
    columns = ceil(sqrt(len(pictures)))
    rows = ceil(len(pictures) / columns)
    side = min(ATLAS_SIDE // columns, max(max(picture.shape[1:]) for picture in pictures))
    atlas = torch.zeros(3, rows * side, columns * side)
    size, placed = torch.tensor([columns * side, rows * side]), []
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        atlas[:, row * side : (row + 1) * side, column * side : (column + 1) * side] = _resized(picture, side)
        for piece, its_picture in pieces:
            if its_picture == index and piece.uv is not None:
                # from the centre of the cell's first pixel to that of its last, so that no neighbour shines through
                corner = torch.tensor([column * side, row * side])
                placed.append(replace(piece, uv=(corner + 0.5 + piece.uv * (side - 1)) / size))
    return replace(_merged(placed), uv=torch.cat([piece.uv for piece in placed if piece.uv is not None]), texture=atlas)


def _merged(parts: Sequence[Mesh]) -> Mesh:
    """Vertices and faces of all parts, without colours."""
    starts = torch.tensor([0, *(len(part.vertices) for part in parts[:-1])]).cumsum(0)
    faces = torch.cat([part.faces + start for part, start in zip(parts, starts, strict=True)])
    return Mesh(torch.cat([part.vertices for part in parts]), faces)


def _on_pictures(parts: Sequence[Mesh]) -> tuple[list[tuple[Mesh, int]], list[Tensor]]:
    """Every part with coordinates from 0 to 1 on the picture of the given index, and the pictures."""
    pieces: list[tuple[Mesh, int]] = []
    pictures: list[Tensor] = []
    known: dict[tuple[int, int, int], int] = {}
    plain = [part for part in parts if part.texture is None]
    for part in parts:
        if part.texture is None or part.uv is None:
            continue
        piece, across, down = _within_picture(part)
        key = (id(part.texture), across, down)
        if key not in known:
            known[key] = len(pictures)
            pictures.append(part.texture.repeat(1, down, across))
        pieces.append((piece, known[key]))
    if plain:
        swatches, colored = _swatches(plain)
        pieces.append((colored, len(pictures)))
        pictures.append(swatches)
    return pieces, pictures


def _within_picture(part: Mesh) -> tuple[Mesh, int, int]:
    """The part with coordinates from 0 to 1 on its picture, repeated so often across and down."""
    assert part.uv is not None
    if bool(((part.uv >= -_TOLERANCE) & (part.uv <= 1 + _TOLERANCE)).all()):
        return replace(part, uv=part.uv.clamp(0, 1), texture=None), 1, 1
    uv = part.uv[part.faces]
    uv = uv - uv.amin(dim=1, keepdim=True).floor()  # every triangle begins on the first copy
    extent = uv.amax(dim=1, keepdim=True)
    uv = uv * (_REPEATS / extent).clamp_max(1)
    across, down = (max(1, ceil(float(value))) for value in uv.amax(dim=(0, 1)) - _TOLERANCE)
    own = Mesh(part.vertices[part.faces].reshape(-1, 3), torch.arange(part.faces.numel()).reshape(-1, 3))
    return replace(own, uv=(uv.reshape(-1, 2) / torch.tensor([across, down])).clamp(0, 1)), across, down


def _swatches(parts: Sequence[Mesh]) -> tuple[Float[Tensor, "3 T T"], Mesh]:
    """A picture of the colours of parts without a texture, and these with one colour per triangle."""
    mesh = _merged(parts)
    rgb = torch.cat([part.vertex_rgb for part in parts if part.vertex_rgb is not None])
    per_face = (rgb[mesh.faces].mean(dim=1) * 255).round() / 255
    colors, index = per_face.unique(dim=0, return_inverse=True)
    side = ceil(sqrt(len(colors)))
    picture = F.pad(colors, (0, 0, 0, side * side - len(colors))).T.reshape(3, side, side)
    centre = (torch.stack([index % side, index // side], dim=-1) + 0.5) / side
    own = Mesh(mesh.vertices[mesh.faces].reshape(-1, 3), torch.arange(mesh.faces.numel()).reshape(-1, 3))
    return picture, replace(own, uv=centre.repeat_interleave(3, dim=0))


def _resized(picture: Float[Tensor, "3 T1 T2"], side: int) -> Float[Tensor, "3 S S"]:
    if max(picture.shape[1:]) <= side:  # enlarged by whole pixels, so that swatches stay apart
        return F.interpolate(picture[None], (side, side), mode="nearest-exact")[0]
    return F.interpolate(picture[None], (side, side), mode="bilinear", antialias=True)[0].clamp(0, 1)
