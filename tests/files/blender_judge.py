"""Run by a Python that has bpy, the wheel of Blender: imports mesh files, says what it finds, renders a picture.

python blender_judge.py PICTURE.png FILE...
"""

import json
import math
import sys
from pathlib import Path

import bpy  # isort: split

# Blender's other modules are there only once bpy is.
import bmesh
from mathutils import Vector

IMPORTERS = {
    ".glb": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    ".gltf": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    ".obj": lambda path: bpy.ops.wm.obj_import(filepath=path),
    ".ply": lambda path: bpy.ops.wm.ply_import(filepath=path),
    ".stl": lambda path: bpy.ops.wm.stl_import(filepath=path, global_scale=0.001),
    ".usd": lambda path: bpy.ops.wm.usd_import(filepath=path),
    ".usdz": lambda path: bpy.ops.wm.usd_import(filepath=path),
}


def seen(path: str) -> dict:
    """What Blender makes of a file, in an empty scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    IMPORTERS[Path(path).suffix](path)
    (found,) = [one for one in bpy.context.scene.objects if one.type == "MESH"]
    corners = [found.matrix_world @ Vector(corner) for corner in found.bound_box]
    welded = bmesh.new()
    welded.from_mesh(found.data)
    bmesh.ops.remove_doubles(welded, verts=welded.verts, dist=1e-6)
    volume = welded.calc_volume(signed=True)
    open_edges = sum(not edge.is_manifold for edge in welded.edges)
    welded.free()
    images = [image for image in bpy.data.images if image.type == "IMAGE"]
    return {
        "name": found.name,
        "low": [min(corner[axis] for corner in corners) for axis in range(3)],
        "high": [max(corner[axis] for corner in corners) for axis in range(3)],
        "triangles": len(found.data.polygons),
        "open_edges": open_edges,
        "volume": volume,
        "images": [
            {"name": image.name, "size": list(image.size), "packed": bool(image.packed_file)} for image in images
        ],
    }


def render(picture: str) -> None:
    """The scene from the front, which is -Y in Blender, and a little from above."""
    scene = bpy.context.scene
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.location, camera.rotation_euler = (0, -3, 0.8), (math.radians(75), 0, 0)
    world = bpy.data.worlds.new("white")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs[0].default_value = (1, 1, 1, 1)
    scene.collection.objects.link(camera)
    scene.camera, scene.world = camera, world
    scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 16, "CPU"
    scene.render.resolution_x = scene.render.resolution_y = 256
    scene.view_settings.view_transform = "Standard"
    scene.render.filepath = picture
    bpy.ops.render.render(write_still=True)


if __name__ == "__main__":
    picture, *files = sys.argv[1:]
    report = {Path(file).suffix: seen(file) for file in reversed(files)}  # the first file is rendered
    render(picture)
    print("JUDGED " + json.dumps(report))
