"""One number in, one textured object out."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.data.deform import bent, tapered, twisted, unit_sized
from epimesh.data.procedural.appliances import appliance
from epimesh.data.procedural.assembly import assembled
from epimesh.data.procedural.bank import texture_bank
from epimesh.data.procedural.buildings import building
from epimesh.data.procedural.cutouts import cutout
from epimesh.data.procedural.dice import Dice, Number
from epimesh.data.procedural.extrusions import extrusion
from epimesh.data.procedural.figures import blob, figure
from epimesh.data.procedural.furniture import furniture
from epimesh.data.procedural.lathes import turned_shape
from epimesh.data.procedural.lofts import lofted
from epimesh.data.procedural.packaging import packaging
from epimesh.data.procedural.parts import Part
from epimesh.data.procedural.plants import plant
from epimesh.data.procedural.primitives import primitives, superquadrics
from epimesh.data.procedural.tools import tool
from epimesh.data.procedural.vehicles import vehicle
from epimesh.data.procedural.wires import wire
from epimesh.errors import EpimeshError
from epimesh.mesh import Mesh

GENERATION = 2  # raised when the same number no longer gives the same object
_ATTEMPTS = 5


@dataclass(frozen=True)
class Family:
    """A kind of objects.

    Args:
        name: for people.
        make: draws one object.
        share: of all objects.
        labels: how often a material is a printed label.
    """

    name: str
    make: Callable[[Dice], list[Part]]
    share: Number
    labels: Number = 0.02


FAMILIES = (
    Family("packaging", packaging, 0.15, labels=0.7),
    Family("furniture", furniture, 0.14),
    Family("lathe", turned_shape, 0.13, labels=0.12),
    Family("primitives", primitives, 0.10),
    Family("appliances", appliance, 0.08, labels=0.15),
    Family("figures", figure, 0.07),
    Family("lofts", lofted, 0.06),
    Family("superquadrics", superquadrics, 0.05),
    Family("extrusions", extrusion, 0.05),
    Family("vehicles", vehicle, 0.04),
    Family("plants", plant, 0.03),
    Family("cutouts", cutout, 0.03),
    Family("wires", wire, 0.02),
    Family("tools", tool, 0.02),
    Family("blobs", blob, 0.02),
    Family("buildings", building, 0.02),
)


def stream(seed: int, index: int) -> Dice:
    """The random choices of one object."""
    digest = hashlib.sha256(f"procedural {GENERATION}:{seed}:{index}".encode()).digest()
    return Dice(np.random.default_rng(list(digest[:16])))


def family_of(seed: int, index: int) -> Family:
    """The kind of an object, without making it."""
    return stream(seed, index).choose(FAMILIES, [family.share for family in FAMILIES])


def generate(seed: int, index: int, *, photos: Path | None = None, family: Family | None = None) -> Mesh:
    """Object number `index` of the endless set `seed`.

    Args:
        seed: names the set.
        index: of the object.
        photos: folder with pictures of materials, used on some surfaces.
        family: make it of this kind rather than of its own.

    Returns:
        A mesh around the origin whose longest side is 1. The same arguments give the same mesh in every process.

    Raises:
        MissingExtra: manifold3d is not installed, and the object needs it.
    """
    family = family or family_of(seed, index)
    dice = stream(seed, index)
    dice.random.random()  # the draw that chose the family
    parts = _drawn(family, dice)
    mesh = assembled(parts, dice, texture_bank(photos), family.labels)
    return replace(mesh, vertices=unit_sized(_deformed(mesh.vertices, dice)))


def _drawn(family: Family, dice: Dice) -> list[Part]:
    """Parts that can be rendered; draws again where a generator fails, at last something that cannot."""
    for _ in range(_ATTEMPTS):
        try:
            parts = [part for part in family.make(dice) if len(part.faces)]
        except EpimeshError:
            raise
        except Exception:  # an unlucky draw, such as a cut that leaves nothing
            continue
        if parts and all(np.isfinite(part.vertices).all() for part in parts):
            return parts
    return superquadrics(dice)


def _deformed(vertices: Float[Tensor, "N 3"], dice: Dice) -> Float[Tensor, "N 3"]:
    """Sometimes stretched, seldom twisted, tapered or bent."""
    if dice.chance(0.35):
        vertices = vertices * torch.tensor([1.0, dice.between(0.7, 1.4), dice.between(0.75, 1.35)])
    if not dice.chance(0.08):
        return vertices
    kind = dice.choose(("twist", "taper", "bend"))
    if kind == "twist":
        return twisted(vertices, dice.between(-0.7, 0.7))
    if kind == "taper":
        return tapered(vertices, dice.between(-0.5, 0.3))
    return bent(vertices, dice.between(-0.3, 0.3))
