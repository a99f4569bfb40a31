"""Draws training views by rasterising, on one core and without any other library: hundreds a second."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.compiled import compiled
from epimesh.errors import BadInput
from epimesh.mesh import Mesh
from epimesh.rendering.ray_casting import Light

_GREY = 0.8  # of meshes without any colour


class Drawn(NamedTuple):
    """Views in 8 bits with their depth.

    Args:
        rgba: colour premultiplied by coverage, and coverage.
        depth: along the optical axis in scene units: that of the nearest sample that hit within the pixel, infinite
            where none did.
    """

    rgba: UInt8[Tensor, "V 4 H W"]
    depth: Float[Tensor, "V H W"]


def rasterize(mesh: Mesh, cameras: Cameras, light: Light, supersample: int = 2) -> Drawn:
    """Views with the nearest texel, both sides of a surface lit alike.

    Samples lie where the rays of `epimesh.rendering.ray_casting` do, so both find the same surface.

    Args:
        mesh: with a texture, vertex colours, or neither (then light grey).
        cameras: where from, and the image size; the mesh lies in front of all of them.
        light: how it is lit.
        supersample: samples per pixel along each side; coverage and colour are their mean.

    Raises:
        BadInput: part of the mesh lies beside or behind a camera.
    """
    finer = cameras.resized(cameras.height * supersample, cameras.width * supersample)
    pixels, depth = (part.transpose(0, 1).double().contiguous().numpy() for part in finer.project(mesh.vertices))
    if not (depth > 0).all():
        raise BadInput("Part of the mesh lies behind a camera, expected all of it in front.\nScale it down first.")
    faces, normals = mesh.faces.numpy(), mesh.corner_normals().float().numpy()
    direction = np.asarray(light.direction, dtype=np.float32)
    lamp = np.append(direction / np.linalg.norm(direction), [light.ambient, light.diffuse]).astype(np.float32)
    rgba = np.zeros((len(cameras), cameras.height, cameras.width, 4), np.uint8)
    distance = np.full((len(cameras), cameras.height, cameras.width), np.inf, np.float32)
    centres = cameras.centres.float().numpy()
    vertices = mesh.vertices.float().numpy()
    colors = _colors(mesh)
    for view in range(len(cameras)):
        nearest = np.zeros((finer.height, finer.width))
        hit = np.full((finer.height, finer.width), -1, np.int32)
        _cover(pixels[view], 1 / depth[view], faces, nearest, hit)
        seen = _Seen(pixels[view], 1 / depth[view], faces, vertices, normals, centres[view])
        _shade(seen, colors, lamp, nearest, hit, supersample, rgba[view], distance[view])
    return Drawn(torch.from_numpy(rgba).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(distance))


class _Seen(NamedTuple):
    """A mesh as one camera sees it; corners of triangles index what belongs to vertices."""

    pixels: np.ndarray
    inverse_depth: np.ndarray
    faces: np.ndarray
    vertices: np.ndarray
    normals: np.ndarray
    centre: np.ndarray


class _Colors(NamedTuple):
    """Texture with channels last, coordinates in it, colours of the vertices; what a mesh lacks is empty."""

    texture: np.ndarray
    uv: np.ndarray
    vertex_rgb: np.ndarray


def _colors(mesh: Mesh) -> _Colors:
    none = np.zeros((0, 3), np.float32)
    if mesh.texture is not None and mesh.uv is not None:
        return _Colors(mesh.texture.permute(1, 2, 0).float().contiguous().numpy(), mesh.uv.float().numpy(), none)
    empty, uv = np.zeros((0, 0, 3), np.float32), np.zeros((0, 2), np.float32)
    if mesh.vertex_rgb is not None:
        return _Colors(empty, uv, mesh.vertex_rgb.float().numpy())
    return _Colors(empty, uv, np.full((len(mesh.vertices), 3), _GREY, np.float32))


@compiled()
def _cover(pixels, inverse_depth, faces, nearest, hit):  # type: ignore[no-untyped-def]
    """Which triangle every sample sees: the one of the largest inverse depth, which is linear on the screen."""
    height, width = nearest.shape
    for number in range(len(faces)):
        a, b, c = faces[number, 0], faces[number, 1], faces[number, 2]
        ax, ay, bx, by, cx, cy = pixels[a, 0], pixels[a, 1], pixels[b, 0], pixels[b, 1], pixels[c, 0], pixels[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        left, right = max(0, int(np.ceil(min(ax, bx, cx) - 0.5))), min(width - 1, int(max(ax, bx, cx) - 0.5))
        top, bottom = max(0, int(np.ceil(min(ay, by, cy) - 0.5))), min(height - 1, int(max(ay, by, cy) - 0.5))
        if left > right or top > bottom or area == 0:
            continue
        a_depth, b_depth, c_depth = inverse_depth[a] / area, inverse_depth[b] / area, inverse_depth[c] / area
        sign = 1.0 if area > 0 else -1.0
        for row in range(top, bottom + 1):
            y = row + 0.5
            for column in range(left, right + 1):
                x = column + 0.5
                first = (bx - x) * (cy - y) - (by - y) * (cx - x)
                second = (cx - x) * (ay - y) - (cy - y) * (ax - x)
                third = area - first - second
                if first * sign < 0 or second * sign < 0 or third * sign < 0:
                    continue
                value = first * a_depth + second * b_depth + third * c_depth
                if value > nearest[row, column]:
                    nearest[row, column] = value
                    hit[row, column] = number


@compiled()
def _shade(seen, colors, lamp, nearest, hit, supersample, rgba, distance):  # type: ignore[no-untyped-def]
    """Means of the samples' colours and the depth of the nearest."""
    total, weights = np.zeros(4), np.zeros(3)
    for row in range(rgba.shape[0]):
        for column in range(rgba.shape[1]):
            total[:] = 0
            best = 0.0
            for y in range(row * supersample, (row + 1) * supersample):
                for x in range(column * supersample, (column + 1) * supersample):
                    if hit[y, x] >= 0:
                        best = max(best, nearest[y, x])
                        _weigh_corners(seen, hit[y, x], x + 0.5, y + 0.5, weights)
                        _add_sample(seen, colors, lamp, hit[y, x], weights, total)
            for channel in range(4):
                rgba[row, column, channel] = np.uint8(np.rint(255 * total[channel] / supersample**2))
            if best > 0:
                distance[row, column] = 1 / best


@compiled()
def _weigh_corners(seen, face, x, y, weights):  # type: ignore[no-untyped-def]
    """Weights of the corners on the surface: areas that the sample makes with the other two, divided by the depth."""
    for corner in range(3):
        a, b = seen.faces[face, (corner + 1) % 3], seen.faces[face, (corner + 2) % 3]
        area = (seen.pixels[a, 0] - x) * (seen.pixels[b, 1] - y) - (seen.pixels[a, 1] - y) * (seen.pixels[b, 0] - x)
        weights[corner] = area * seen.inverse_depth[seen.faces[face, corner]]
    whole = weights[0] + weights[1] + weights[2]
    for corner in range(3):
        weights[corner] /= whole


@compiled()
def _add_sample(seen, colors, lamp, face, weights, total):  # type: ignore[no-untyped-def]
    brightness = _brightness(seen, lamp, face, weights)
    u, v, row, column = 0.0, 0.0, 0, 0
    if len(colors.uv):
        for corner in range(3):
            u += weights[corner] * colors.uv[seen.faces[face, corner], 0]
            v += weights[corner] * colors.uv[seen.faces[face, corner], 1]
        row = int(np.floor(v * colors.texture.shape[0])) % colors.texture.shape[0]
        column = int(np.floor(u * colors.texture.shape[1])) % colors.texture.shape[1]
    for channel in range(3):
        if len(colors.uv):
            color = float(colors.texture[row, column, channel])
        else:
            color = 0.0
            for corner in range(3):
                color += weights[corner] * colors.vertex_rgb[seen.faces[face, corner], channel]
        total[channel] += min(1.0, max(0.0, color * brightness))
    total[3] += 1


@compiled()
def _brightness(seen, lamp, face, weights):  # type: ignore[no-untyped-def]
    """The factor of the light on the side of the surface that the camera sees."""
    length, facing, towards = 0.0, 0.0, 0.0
    for axis in range(3):
        place, normal = 0.0, 0.0
        for corner in range(3):
            place += weights[corner] * seen.vertices[seen.faces[face, corner], axis]
            normal += weights[corner] * seen.normals[face, corner, axis]
        length += normal * normal
        facing += normal * (seen.centre[axis] - place)
        towards += normal * lamp[axis]
    if length > 0:
        towards *= np.sign(facing) / np.sqrt(length)
    return lamp[3] + lamp[4] * max(0.0, towards)
