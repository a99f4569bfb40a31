"""Parts become one textured mesh: materials are drawn for their roles and packed into one texture."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from epimesh.data.procedural.bank import SIZE, TextureBank
from epimesh.data.procedural.colors import Colors, draw_palette, near
from epimesh.data.procedural.dice import Dice, Number
from epimesh.data.procedural.labels import label
from epimesh.data.procedural.parts import Part
from epimesh.data.procedural.patterns import Paint, as_bytes, surface
from epimesh.mesh import Mesh

FIXED_COLORS = {  # roles that look alike on all objects
    "eye": (0.05, 0.05, 0.06),
    "tyre": (0.08, 0.08, 0.09),
    "hub": (0.6, 0.6, 0.62),
    "glass": (0.25, 0.32, 0.38),
    "lamp": (0.95, 0.9, 0.75),
    "pages": (0.92, 0.89, 0.8),
}
MAX_REPEATS = 5  # of a texture along v within one triangle; beyond that it is drawn larger
_PADDING = 2  # rows around each material, so that interpolation does not mix two of them


@dataclass(frozen=True, eq=False)
class Material:
    """What a role is made of.

    Args:
        texture: seamless, first row on top.
        density: repeats per scene unit, for parts that are not fitted.
    """

    texture: UInt8[np.ndarray, "T T 3"]
    density: Number


def assembled(parts: list[Part], dice: Dice, bank: TextureBank, label_chance: Number) -> Mesh:
    """One mesh of all parts.

    Args:
        parts: the pieces.
        dice: draws colours and textures.
        bank: what textures are made from.
        label_chance: how often a material is a printed label.
    """
    roles = list(dict.fromkeys(part.role for part in parts))
    materials = _materials(roles, dice, bank, label_chance)
    offsets = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = np.concatenate([part.faces + offset for part, offset in zip(parts, offsets, strict=False)])
    uv = np.concatenate([part.uv * (1.0 if part.fitted else materials[part.role].density) for part in parts])
    layer = np.concatenate([np.full(len(part.faces), roles.index(part.role)) for part in parts])
    texture, uv = packed([materials[role].texture for role in roles], uv, layer)
    vertices = np.concatenate([part.vertices for part in parts])
    return Mesh(
        vertices=torch.from_numpy(vertices[faces].reshape(-1, 3)).float(),
        faces=torch.arange(3 * len(faces)).reshape(-1, 3),
        uv=torch.from_numpy(uv.reshape(-1, 2)).float(),
        texture=torch.from_numpy(texture).permute(2, 0, 1).float() / 255,
    )


def _materials(roles: list[str], dice: Dice, bank: TextureBank, label_chance: Number) -> dict[str, Material]:
    """Materials of all roles; several roles may share one."""
    free = [role for role in roles if role not in FIXED_COLORS]
    count = max(1, min(len(free), dice.choose((1, 2, 3, 4, 8), (0.12, 0.28, 0.27, 0.18, 0.15))))
    palette = draw_palette(dice, max(count + 1, 2))
    drawn = [_material(palette, number, dice, bank, label_chance) for number in range(count)]
    chosen = {role: drawn[i] if i < count else dice.choose(drawn) for i, role in enumerate(free)}
    plain = {role: FIXED_COLORS[role] for role in roles if role in FIXED_COLORS}
    fixed = {role: Material(as_bytes(np.full((SIZE, SIZE, 3), color)), 1.0) for role, color in plain.items()}
    return chosen | fixed


def _material(palette: Colors, number: int, dice: Dice, bank: TextureBank, label_chance: Number) -> Material:
    main = palette[number]
    second = dice.row(palette) if dice.chance(0.5) else near(dice, main, 0.5)
    paint = Paint(dice, bank, main, second)
    image = label(paint) if dice.chance(label_chance) else surface(paint)
    return Material(as_bytes(image), dice.log_between(0.5, 3.5))


def packed(
    textures: list[UInt8[np.ndarray, "T T 3"]], uv: Float[np.ndarray, "F 3 2"], layer: Int[np.ndarray, "F"]
) -> tuple[UInt8[np.ndarray, "rows T 3"], Float[np.ndarray, "F 3 2"]]:
    """All materials in one texture, one above the other.

    Along u a texture repeats by itself, as it is as wide as the whole image. Along v every material is stacked as often
    as its triangles need; each triangle starts in the first copy.

    Args:
        textures: one per material.
        uv: texture position of every corner in its own material.
        layer: the material of every triangle.
    """
    strips, top, placed = [], 0, uv.copy()
    placed[..., 1] -= np.floor(placed[..., 1].min(1) + 1e-6)[:, None]
    for number, texture in enumerate(textures):
        mine = layer == number
        tallest = float(placed[mine, :, 1].max(initial=0.0))
        repeats = int(np.ceil(min(max(tallest, 1e-3), MAX_REPEATS) - 1e-6))
        shrink = min(1.0, MAX_REPEATS / max(tallest, 1e-9))
        strip = np.pad(np.tile(texture, (repeats, 1, 1)), ((_PADDING, _PADDING), (0, 0), (0, 0)), mode="wrap")
        placed[mine, :, 1] = placed[mine, :, 1] * shrink * SIZE + top + _PADDING
        placed[mine, :, 0] *= shrink
        strips.append(strip)
        top += len(strip)
    placed[..., 1] = placed[..., 1] / top
    return np.concatenate(strips), placed
