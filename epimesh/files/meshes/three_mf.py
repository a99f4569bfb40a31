"""Writes 3MF, which slicers prefer to STL: it says its unit and shares vertices. Without colours, in millimetres.

Source: 3MF Consortium, "3MF Core Specification" 1.3.
"""

import io
import zipfile
from xml.sax.saxutils import quoteattr

import torch

from epimesh.files.meshes.axes import to_z_up
from epimesh.mesh import Mesh

_CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_TYPES = (
    f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/></Types>'
)
_RELATIONS = (
    f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Target="/3D/3dmodel.model" Id="rel0" '
    'Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/></Relationships>'
)
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same mesh gives the same bytes


def three_mf_bytes(mesh: Mesh, name: str) -> bytes:
    """A whole 3MF file: millimetres, +Z up, front towards -Y. Vertices along seams of the texture are joined."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        for path, text in (
            ("[Content_Types].xml", _TYPES),
            ("_rels/.rels", _RELATIONS),
            ("3D/3dmodel.model", _model(mesh, name)),
        ):
            entry = zipfile.ZipInfo(path, _LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            package.writestr(entry, text.encode())
    return buffer.getvalue()


def _model(mesh: Mesh, name: str) -> str:
    vertices, place = torch.unique(mesh.vertices, dim=0, return_inverse=True)
    faces = place[mesh.faces]
    distinct = (faces[:, [0, 1, 2]] != faces[:, [1, 2, 0]]).all(-1)  # 3MF refuses triangles that name a vertex twice
    points = "".join(
        f'<vertex x="{x:.6g}" y="{y:.6g}" z="{z:.6g}"/>' for x, y, z in (to_z_up(vertices).double() * 1000).tolist()
    )
    triangles = "".join(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in faces[distinct].tolist())
    return (
        f'{_HEAD}<model unit="millimeter" xml:lang="en-US" xmlns="{_CORE}"><resources>'
        f'<object id="1" type="model" name={quoteattr(name)}><mesh><vertices>{points}</vertices>'
        f"<triangles>{triangles}</triangles></mesh></object></resources>"
        '<build><item objectid="1"/></build></model>'
    )
