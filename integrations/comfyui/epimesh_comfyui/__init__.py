"""ComfyUI nodes: an image in, a mesh file and its views out. A local `epimesh serve` does the work."""

from .nodes import EpimeshMeshFromImage

NODE_CLASS_MAPPINGS = {"EpimeshMeshFromImage": EpimeshMeshFromImage}
NODE_DISPLAY_NAME_MAPPINGS = {"EpimeshMeshFromImage": "Mesh from Image (epimesh)"}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
