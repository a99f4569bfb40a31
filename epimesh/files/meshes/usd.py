"""Writes USD and USDZ, for Omniverse, Houdini and Apple's Quick Look, through Pixar's own library."""

import os
import re
import tempfile
from pathlib import Path, PurePath
from typing import Any

from epimesh.errors import BadInput, MissingExtra
from epimesh.files.meshes.axes import to_y_up
from epimesh.files.meshes.colors import GREY, png_bytes, to_linear
from epimesh.mesh import Mesh

_LONG_AGO = 315_705_600  # 3 January 1980, the third day that a zip can state


def usd_files(mesh: Mesh, name: str) -> dict[str, bytes]:
    """The binary USD called `name`, and its texture NAME_texture.png: contents by file name, the USD last.

    Raises:
        MissingExtra: the package usd-core is not installed.
    """
    check_usd(name)
    texture = _texture_name(name) if mesh.texture is not None else None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mesh.usdc"
        _export(mesh, PurePath(name).stem, texture, file)
        content = file.read_bytes()
    return {**({texture: png_bytes(mesh.texture)} if texture and mesh.texture is not None else {}), name: content}


def usdz_bytes(mesh: Mesh, name: str) -> bytes:
    """Both in one file, stored in a zip at multiples of 64 bytes, as Quick Look on an iPhone or a Mac opens it.

    Raises:
        MissingExtra: the package usd-core is not installed.
    """
    check_usd(name)
    from pxr import Sdf, UsdUtils

    stem = _texture_name(name).removesuffix("_texture.png")
    with tempfile.TemporaryDirectory() as folder:
        file, package = Path(folder) / f"{stem}.usdc", Path(folder) / "package.usdz"
        texture = _texture_name(name) if mesh.texture is not None else None
        if texture and mesh.texture is not None:
            (Path(folder) / texture).write_bytes(png_bytes(mesh.texture))
        _export(mesh, PurePath(name).stem, texture, file)
        for part in Path(folder).iterdir():
            os.utime(part, (_LONG_AGO, _LONG_AGO))  # the zip states it; the same mesh gives the same bytes
        if not UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(file)), str(package)):
            raise BadInput(f"Pixar's library did not make {name}.\nChoose another of --formats, e.g. usd or glb.")
        return package.read_bytes()


def check_usd(name: str) -> None:
    """Raises MissingExtra where Pixar's library is not installed. `name` is what was to be written."""
    try:
        import pxr  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            f"{name} is a USD file, and writing those needs an optional package.\n"
            "Install it with: pip install 'epimesh[usd]', or choose another of --formats."
        ) from error


def _texture_name(name: str) -> str:
    return re.sub(r"\s", "_", f"{PurePath(name).stem}_texture.png")


def _export(mesh: Mesh, stem: str, texture: str | None, file: Path) -> None:
    """Writes the layer; its root is named after the file, in the letters that USD allows."""
    from pxr import Tf, Usd, UsdGeom

    stage = Usd.Stage.CreateInMemory()
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = f"/{Tf.MakeValidIdentifier(stem)}"
    shape = _shape(stage, root, mesh)
    stage.SetDefaultPrim(stage.GetPrimAtPath(root))
    _material(stage, root, shape, mesh, texture)
    stage.GetRootLayer().Export(str(file))


def _shape(stage: Any, root: str, mesh: Mesh) -> Any:
    from pxr import Sdf, UsdGeom, Vt

    UsdGeom.Xform.Define(stage, root)
    shape = UsdGeom.Mesh.Define(stage, f"{root}/{root[1:]}")
    positions = to_y_up(mesh.vertices).detach().cpu().float().contiguous()
    shape.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(positions.numpy()))
    shape.CreateFaceVertexCountsAttr([3] * len(mesh.faces))
    shape.CreateFaceVertexIndicesAttr(mesh.faces.reshape(-1).tolist())
    shape.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(to_y_up(mesh.vertex_normals()).float().contiguous().numpy()))
    shape.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    shape.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    shape.CreateExtentAttr([positions.amin(0).tolist(), positions.amax(0).tolist()])
    primvars = UsdGeom.PrimvarsAPI(shape)
    if mesh.uv is not None:
        upward = mesh.uv.detach().cpu().float().clone()
        upward[:, 1] = 1 - upward[:, 1]  # USD counts v from the lower edge
        kind = Sdf.ValueTypeNames.TexCoord2fArray
        primvars.CreatePrimvar("st", kind, UsdGeom.Tokens.vertex).Set(Vt.Vec2fArray.FromNumpy(upward.numpy()))
    if mesh.texture is None and mesh.vertex_rgb is not None:
        colors = to_linear(mesh.vertex_rgb.clamp(0, 1)).float().contiguous().numpy()
        shape.CreateDisplayColorPrimvar(UsdGeom.Tokens.vertex).Set(Vt.Vec3fArray.FromNumpy(colors))
    return shape


def _material(stage: Any, root: str, shape: Any, mesh: Mesh, texture: str | None) -> None:
    """A rough, not metallic preview surface with the texture, the vertices' colours, or plain grey."""
    from pxr import Sdf, UsdShade

    types = Sdf.ValueTypeNames
    material = UsdShade.Material.Define(stage, f"{root}/surface")
    shader = UsdShade.Shader.Define(stage, f"{root}/surface/shader")
    shader.CreateIdAttr("UsdPreviewSurface")
    shader.CreateInput("roughness", types.Float).Set(1.0)
    shader.CreateInput("metallic", types.Float).Set(0.0)
    color = shader.CreateInput("diffuseColor", types.Color3f)
    if texture is None and mesh.vertex_rgb is None:
        import torch

        color.Set((float(to_linear(torch.tensor(GREY))),) * 3)
    else:
        color.ConnectToSource(_color_source(stage, root, texture))
    material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
    UsdShade.MaterialBindingAPI.Apply(shape.GetPrim()).Bind(material)


def _color_source(stage: Any, root: str, texture: str | None) -> Any:
    """The shader output that colours the surface: a picture looked up by `st`, or the vertices' displayColor."""
    from pxr import Sdf, UsdShade

    types = Sdf.ValueTypeNames
    reader = UsdShade.Shader.Define(stage, f"{root}/surface/reader")
    if texture is None:
        reader.CreateIdAttr("UsdPrimvarReader_float3")
        reader.CreateInput("varname", types.String).Set("displayColor")
        return reader.CreateOutput("result", types.Float3)
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", types.String).Set("st")
    picture = UsdShade.Shader.Define(stage, f"{root}/surface/texture")
    picture.CreateIdAttr("UsdUVTexture")
    picture.CreateInput("file", types.Asset).Set(f"./{texture}")
    picture.CreateInput("sourceColorSpace", types.Token).Set("sRGB")
    for side in ("wrapS", "wrapT"):
        picture.CreateInput(side, types.Token).Set("repeat")
    picture.CreateInput("st", types.Float2).ConnectToSource(reader.CreateOutput("result", types.Float2))
    return picture.CreateOutput("rgb", types.Float3)
