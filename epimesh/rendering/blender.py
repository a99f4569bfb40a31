"""Colours of an object's views by Blender's path tracer, for materials that rays alone do not know.

Blender runs inside this process as the package `bpy`. Only colours and coverage are taken from it: depth and normals
come from casting rays at the same mesh, so that both renderers agree on them.
"""

import importlib.util
import math
import tempfile
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.errors import BadInput, MissingExtra
from epimesh.files.images import read_picture
from epimesh.rendering.ray_casting import Light

_SAMPLES = 64  # per pixel
_SENSOR_WIDTH = 36.0  # mm; any, since only its ratio to the focal length counts
# Blender stands glTF's +Y up, so that a file's (x, y, z) is at (x, -z, y). Files of objects here are z up already.
_AS_IN_THE_FILE = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
_OPENGL_AXES = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))  # Blender's cameras look along -z with y up


def blender_is_installed() -> bool:
    """True if `bpy` can be imported."""
    return importlib.util.find_spec("bpy") is not None


def blender_rgba(
    path: Path, placement: Float[Tensor, "3 3"], cameras: Cameras, light: Light
) -> Float[Tensor, "V 4 H W"]:
    """Colours (straight, sRGB) and coverage of a GLB whose vertices are z up.

    Args:
        path: the file.
        placement: turns and scales its vertices.
        cameras: where from, and the image size: square pixels, optical axis through the image centre.
        light: an even part, and a directed one that casts shadows. Strengths mean the same as for rays, but in linear
            light.

    Raises:
        MissingExtra: Blender is not installed.
        BadInput: it cannot read the file.
    """
    if not blender_is_installed():
        raise MissingExtra(
            "Rendering with Blender needs the package bpy.\nInstall it with: pip install bpy, or use --renderer rays."
        )
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    try:
        bpy.ops.import_scene.gltf(filepath=str(path))
    except RuntimeError as error:  # what failed operators raise
        raise BadInput(f"{path} cannot be read by Blender ({error}).\nExpected a GLB file.") from error
    scene = bpy.context.scene
    _place(bpy, scene, placement @ _AS_IN_THE_FILE)
    _set_light(bpy, scene, light)
    _set_image(scene, cameras)
    with tempfile.TemporaryDirectory() as folder:
        views = [_render(bpy, scene, cameras[view], Path(folder) / f"{view}.png") for view in range(len(cameras))]
    return torch.stack(views)


def _place(bpy: Any, scene: Any, placement: Float[Tensor, "3 3"]) -> None:
    """Puts all that was imported under one parent, and takes away the file's own lights and cameras."""
    for found in list(scene.objects):
        if found.type in ("LIGHT", "CAMERA"):
            bpy.data.objects.remove(found, do_unlink=True)
    parent = bpy.data.objects.new("placement", None)
    for found in scene.objects:
        if found.parent is None:
            found.parent = parent
    scene.collection.objects.link(parent)
    matrix = torch.eye(4)
    matrix[:3, :3] = placement
    parent.matrix_world = _matrix(matrix)


def _set_light(bpy: Any, scene: Any, light: Light) -> None:
    """Under an even light of strength s a matt white surface shows s; a sun of strength pi that it faces shows 1."""
    from mathutils import Vector

    scene.world = bpy.data.worlds.new("even light")
    scene.world.use_nodes = True
    tree = scene.world.node_tree
    tree.nodes.clear()
    background, output = tree.nodes.new("ShaderNodeBackground"), tree.nodes.new("ShaderNodeOutputWorld")
    background.inputs["Strength"].default_value = light.ambient
    background.inputs["Color"].default_value = (1.0, 1.0, 1.0, 1.0)
    tree.links.new(background.outputs["Background"], output.inputs["Surface"])
    sun = bpy.data.lights.new("sun", "SUN")
    sun.energy = math.pi * light.diffuse
    lamp = bpy.data.objects.new("sun", sun)
    lamp.rotation_mode = "QUATERNION"
    lamp.rotation_quaternion = Vector(light.direction).to_track_quat("Z", "Y")  # it shines along its own -z
    scene.collection.objects.link(lamp)


def _set_image(scene: Any, cameras: Cameras) -> None:
    render, cycles = scene.render, scene.cycles
    render.engine = "CYCLES"
    cycles.samples, cycles.use_denoising = _SAMPLES, True
    cycles.pixel_filter_type = "BOX"  # a pixel is the mean over its square, as for rays
    render.threads_mode, render.threads = "FIXED", 1  # objects are spread over processes instead
    render.resolution_x, render.resolution_y, render.resolution_percentage = cameras.width, cameras.height, 100
    render.film_transparent = True
    render.image_settings.file_format = "PNG"
    render.image_settings.color_mode, render.image_settings.color_depth = "RGBA", "8"
    scene.view_settings.view_transform = "Standard"  # plain sRGB; the default changes contrast


def _render(bpy: Any, scene: Any, camera: Cameras, path: Path) -> Float[Tensor, "4 H W"]:
    lens = bpy.data.cameras.new("camera")
    focal = float(camera.intrinsics[0, 0, 0])
    lens.sensor_fit, lens.sensor_width = "HORIZONTAL", _SENSOR_WIDTH
    lens.clip_start, lens.clip_end = 0.01, 100.0
    if camera.orthographic:
        lens.type, lens.ortho_scale = "ORTHO", camera.width / focal
    else:
        lens.lens = _SENSOR_WIDTH * focal / camera.width
    scene.camera = bpy.data.objects.new("camera", lens)
    scene.collection.objects.link(scene.camera)
    scene.camera.matrix_world = _matrix(camera.camera_to_world[0] @ _OPENGL_AXES)
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    picture = read_picture(path, longest_side=max(camera.height, camera.width))
    alpha = picture.alpha if picture.alpha is not None else torch.ones(camera.height, camera.width)
    return torch.cat([picture.rgb, alpha[None]])


def _matrix(values: Float[Tensor, "4 4"]) -> Any:
    from mathutils import Matrix

    return Matrix(values.tolist())
