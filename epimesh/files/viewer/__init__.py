"""A page that turns a mesh in any browser, without a network: viewer and mesh in one file."""

import base64
from functools import cache
from html import escape
from importlib.resources import files

from epimesh.files.meshes.glb import glb_bytes
from epimesh.files.meshes.settings import ExportSettings
from epimesh.mesh import Mesh

_SHOWN = ExportSettings(texture_format="webp")  # half the bytes, and every browser knows it
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="epimesh">
<title>{name}</title>
<style>html, body {{margin: 0; height: 100%; background: #fff}} model-viewer {{width: 100%; height: 100%}}</style>
<!-- model-viewer 4.4.0, Apache-2.0, with three.js (MIT), Lit (BSD-3-Clause) and fflate (MIT) -->
<script type="module">{script}</script>
</head>
<body>
<model-viewer alt="{name}" src="data:model/gltf-binary;base64,{mesh}" camera-controls auto-rotate
 auto-rotate-delay="0" rotation-per-second="30deg" interaction-prompt="none" shadow-intensity="0.6"
 camera-orbit="0deg 75deg 105%" tone-mapping="neutral"><div slot="progress-bar"></div></model-viewer>
</body>
</html>
"""


def viewer_page(mesh: Mesh, name: str) -> str:
    """The page: drag turns the mesh, the wheel comes nearer. About 1 MB of viewer, and the mesh.

    The viewer is model-viewer, vendored with its licences in this folder. It fetches nothing: the mesh is neither
    compressed by Draco nor by KTX2, whose decoders would come from the network.
    """
    glb = glb_bytes(mesh, name, _SHOWN.texture_format)
    return _PAGE.format(name=escape(name), script=_script(), mesh=base64.b64encode(glb).decode())


def viewer_frame(mesh: Mesh, name: str, height: int = 400) -> str:
    """The page as an element of another page, as notebooks show it."""
    page = escape(viewer_page(mesh, name))
    return f'<iframe title="{escape(name)}" srcdoc="{page}" width="100%" height="{height}" style="border:0"></iframe>'


@cache
def _script() -> str:
    text = files("epimesh.files.viewer").joinpath("model-viewer.min.js").read_text(encoding="utf-8")
    return text.replace("</script", "<\\/script")  # inside a page it would end the script
