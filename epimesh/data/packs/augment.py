"""Variations of real objects for training: stretched, recoloured, mirrored, deformed, put on top of each other."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from epimesh.data.deform import bent, tapered, twisted, unit_sized
from epimesh.data.objects import ObjectRecord, load_object, read_manifest
from epimesh.data.packs.render_objects import RenderSettings, random_numbers
from epimesh.mesh import Mesh
from epimesh.rendering.ray_casting import RayCaster

_COMPOSED_TEXTURE = 256  # pixels per side of each of the two textures

Random = np.random.Generator


def augmented(mesh: Mesh, random: Random, partner: Mesh | None = None) -> Mesh:
    """A believable variation of an object, of unit size.

    Args:
        mesh: the object.
        random: decides what is done and how much.
        partner: now and then put on top of the object.
    """
    if partner is not None and random.random() < 0.12 and _can_compose(mesh) and _can_compose(partner):
        mesh = composed(mesh, partner, random)
    if random.random() < 0.7 and mesh.texture is not None:
        mesh = replace(mesh, texture=recolored(mesh.texture, random))
    vertices, faces = mesh.vertices, mesh.faces
    if random.random() < 0.8:
        vertices = vertices * torch.from_numpy(random.uniform(0.7, 1.4, 3)).float()
    if random.random() < 0.25:
        vertices = _deformed(vertices, random)
    if random.random() < 0.5:
        vertices, faces = vertices * torch.tensor([-1.0, 1.0, 1.0]), faces.flip(1)
    return replace(mesh, vertices=unit_sized(vertices), faces=faces)


def _deformed(vertices: Float[Tensor, "N 3"], random: Random) -> Float[Tensor, "N 3"]:
    """Only mildly bent and twisted: low-poly boxes show creases, cabinets look sheared."""
    kind = random.integers(3)
    if kind == 0:
        return twisted(vertices, random.uniform(-0.2, 0.2))
    if kind == 1:
        return tapered(vertices, random.uniform(-0.5, 0.2))
    return bent(vertices, random.uniform(-0.15, 0.15))


def recolored(texture: Float[Tensor, "3 T1 T2"], random: Random) -> Float[Tensor, "3 T1 T2"]:
    """The same pattern in other colours: a small turn of the hue most often, any hue now and then."""
    picture = Image.fromarray((texture.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()).convert("HSV")
    hsv = np.array(picture, dtype=np.float32)
    turn = random.uniform(0, 256) if random.random() < 0.35 else random.normal(0, 8)
    hsv[..., 0] = (hsv[..., 0] + turn) % 256
    hsv[..., 1] *= random.uniform(0.6, 1.3)
    hsv[..., 2] *= np.exp(random.normal(0, 0.25))
    changed = Image.fromarray(hsv.clip(0, 255).astype(np.uint8), "HSV").convert("RGB")
    return torch.from_numpy(np.array(changed)).permute(2, 0, 1).float() / 255


def _can_compose(mesh: Mesh) -> bool:
    """Whether its texture can share an image with another: it must not repeat."""
    if mesh.texture is None or mesh.uv is None:
        return False
    return bool(((mesh.uv >= -1e-3) & (mesh.uv <= 1 + 1e-3)).all())


def composed(below: Mesh, above: Mesh, random: Random) -> Mesh:
    """`above`, made smaller, stands on `below`: at the height where the first of many downward rays meets it."""
    small = above.vertices * random.uniform(0.35, 0.8)
    shift = torch.from_numpy(random.uniform(-0.06, 0.06, 2)).float()
    footprint = small[:, :2].abs().amax(0) * 0.5
    steps = torch.linspace(-1, 1, 7)
    places = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1).reshape(-1, 2) * footprint + shift
    origins = torch.cat([places, torch.full((len(places), 1), 2.0)], dim=1)
    hits = RayCaster(below.vertices, below.faces, threads=1).cast(origins, torch.tensor([0.0, 0.0, -1.0]).expand(49, 3))
    highest = 2.0 - hits.distance[hits.hit]
    support = float(highest.max()) if len(highest) else float(below.vertices[:, 2].min())
    small = small + torch.cat([shift, (support - small[:, 2].min() - 0.005)[None]])
    assert below.uv is not None
    assert above.uv is not None
    textures = [_resized(mesh.texture) for mesh in (below, above) if mesh.texture is not None]
    half = torch.tensor([1.0, 0.5])
    return Mesh(
        vertices=torch.cat([below.vertices, small]),
        faces=torch.cat([below.faces, above.faces + len(below.vertices)]),
        uv=torch.cat([below.uv.clamp(1e-3, 1 - 1e-3) * half, above.uv.clamp(1e-3, 1 - 1e-3) * half + 1 - half]),
        texture=torch.cat(textures, dim=1),
    )


def _resized(texture: Float[Tensor, "3 T1 T2"]) -> Float[Tensor, "3 T T"]:
    size = (_COMPOSED_TEXTURE, _COMPOSED_TEXTURE)
    return torch.nn.functional.interpolate(texture[None], size=size, mode="bilinear", antialias=True)[0]


def augmented_records(records: list[ObjectRecord], copies: int) -> list[ObjectRecord]:
    """`copies` variations of every record; they keep its family, split and licence."""
    return [replace(record, id=f"{record.id}_augmented_{copy}") for copy in range(copies) for record in records]


@dataclass(frozen=True)
class LoadAugmented:
    """Makes the mesh of an augmented record.

    Args:
        folder: of the objects, where partners are found too (of the same split).
        seed: of the variations.
    """

    folder: Path
    seed: int = 0

    def __call__(self, record: ObjectRecord) -> Mesh:
        """The varied mesh."""
        random = random_numbers(RenderSettings(seed=self.seed), f"augment {record.id}")
        others = _manifest(self.folder, record.split)
        partner = load_object(others[random.integers(len(others))].path)
        return augmented(load_object(record.path), random, partner)


@cache
def _manifest(folder: Path, split: str) -> list[ObjectRecord]:
    return read_manifest(folder, split)
