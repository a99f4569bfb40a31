"""The last stage: a texture from the photo and the views."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.errors import BadInput, StageFailed
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.pipeline.contracts import Texturer
from epimesh.runtime import Runtime
from epimesh.stages.texture.atlas import Texels, texels_of, unwrapped, welded
from epimesh.stages.texture.blend import blended
from epimesh.stages.texture.inpainting import flowed_colors
from epimesh.stages.texture.projectors import Projectors
from epimesh.views import Views

_SURE = 0.08  # trust from which on a texel keeps its own colour; below it fades into colours from around
_BROAD = 0.5  # the same where vertices have colours of their own
_MUCH = 0.35  # share of the surface without any image that is worth a warning


@dataclass(frozen=True, kw_only=True)
class BakeTexture(Texturer):
    """Unrolls the mesh and paints it with the photo where that sees the surface, and with the views elsewhere.

    Args:
        size: side of the square texture, in texels.
        match_exposure: bring brightness and tint of overlapping views together, and to the photo's.
        use_views: whether the views are asked, too; without them, what the photo does not show has the colours of the
            mesh's vertices, or colours that flow in from what it shows.
    """

    size: int = 1024
    match_exposure: bool = True
    use_views: bool = True

    def __post_init__(self) -> None:
        if not 64 <= self.size <= 8192:
            raise BadInput(f"size is {self.size} texels, expected 64 to 8192.\nUse 1024 unless you know better.")

    @torch.inference_mode()
    def __call__(self, mesh: Mesh, views: Views, photo: Photo | None, *, runtime: Runtime) -> Mesh:
        """The mesh with a texture; its vertices are repeated only along the texture's seams.

        Raises:
            StageFailed: the mesh has no triangles, numbers that are not finite, or faces inwards.
        """
        if len(mesh.faces) == 0 or not bool(mesh.vertices.isfinite().all()):
            raise StageFailed(
                f"The mesh to texture has {len(mesh.faces)} triangles and must have some, all at finite places.\n"
                "Look at the output of the stage before: the reconstruction found no usable surface."
            )
        if mesh.is_inside_out():
            raise StageFailed(
                "The mesh to texture is inside out: it is closed, and its triangles face inwards.\n"
                "Expected corners that run counter-clockwise seen from outside: the stage before has to turn its "
                "triangles round, e.g. by faces.flip(1)."
            )
        surface = welded(mesh)
        atlas = unwrapped(surface, self.size)
        texels = texels_of(atlas, self.size)
        projectors = Projectors(surface, views if self.use_views else None, photo)
        color, trust = blended(projectors, texels, match_exposure=self.match_exposure)
        unseen = unseen_share(atlas, texels, trust)
        if unseen > _MUCH and surface.vertex_rgb is None:
            runtime.reporter.warn(
                f"No image shows {unseen:.0%} of the surface; its colours there are continued from what is seen. "
                "Views from more sides help."
            )
        known, around = _known_and_around(surface, texels, color, trust)
        flowed = (around[surface.faces[texels.face]] * texels.weights[..., None]).sum(1)
        color = torch.lerp(flowed, color, known[:, None])
        return replace(atlas, texture=_filled(texels, color, self.size), unseen_share=unseen)


def _known_and_around(
    surface: Mesh, texels: Texels, color: Float[Tensor, "T 3"], trust: Float[Tensor, "T"]
) -> tuple[Float[Tensor, "T"], Float[Tensor, "N 3"]]:
    """How far each texel keeps its own colour, and the vertices' colours that it fades into."""
    if surface.vertex_rgb is None:
        known = (trust / _SURE).clamp(0, 1)
        return known, flowed_colors(surface, texels, color, known)
    # Colours that were made for the surface are better than what an image says of slanted places: a broad fade.
    share = (trust / _BROAD).clamp(0, 1)
    return share * share * (3 - 2 * share), surface.vertex_rgb


def unseen_share(atlas: Mesh, texels: Texels, trust: Float[Tensor, "T"]) -> float:
    """Share of the surface's area that no image shows."""
    a, b, c = atlas.vertices[atlas.faces].unbind(1)
    area = torch.linalg.cross(b - a, c - a).norm(dim=-1)
    count = torch.bincount(texels.face, minlength=len(area)).clamp_min(1)
    weight = (area / count)[texels.face]
    return float(weight[trust == 0].sum() / weight.sum().clamp_min(1e-12))


def _filled(texels: Texels, color: Float[Tensor, "T 3"], size: int) -> Float[Tensor, "3 S S"]:
    """The texture. All texels between the charts repeat the nearest colour, so that no filter mixes in a background."""
    from scipy.ndimage import distance_transform_edt

    image = torch.zeros(size * size, 3)
    image[texels.place] = color
    empty = torch.ones(size * size, dtype=torch.bool)
    empty[texels.place] = False
    rows, columns = distance_transform_edt(
        empty.reshape(size, size).numpy(), return_distances=False, return_indices=True
    )
    nearest = torch.from_numpy(rows).long() * size + torch.from_numpy(columns).long()
    return image[nearest].permute(2, 0, 1).contiguous()
