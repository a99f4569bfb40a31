"""Blender add-on: choose a photo, get its mesh at the 3D cursor. A local `epimesh serve` does the work."""

import tempfile
import threading
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, FloatProperty, IntProperty, StringProperty
from bpy.types import AddonPreferences, Context, Event, Operator, Panel
from bpy_extras.io_utils import ImportHelper

from .client import SERVER, Client, ServerError

_PAUSE = 0.3  # seconds between two looks at the thread that waits for the server


class EpimeshPreferences(AddonPreferences):
    """Where the server is."""

    bl_idname = __package__

    server: StringProperty(name="Server", default=SERVER, description="As `epimesh serve` prints it")
    login: StringProperty(name="Login", default="", subtype="PASSWORD", description="NAME:PASSWORD, if it wants one")

    def draw(self, context: Context) -> None:
        """Two lines."""
        self.layout.prop(self, "server")
        self.layout.prop(self, "login")


class _Waiting(threading.Thread):
    """Waits for the server, so that Blender can go on."""

    def __init__(self, photo: Path, folder: Path, server: str, login: str, settings: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self._photo, self._folder, self._settings = photo, folder, settings
        self._server, self._login = server, login
        self.status = "sending the photo"
        self.error = ""
        self.mesh: Path | None = None
        self.stop = threading.Event()

    def run(self) -> None:
        try:
            client = Client(self._server, self._login)
            files = client.make(
                self._photo.read_bytes(),
                self._photo.name,
                settings=self._settings,
                tell=self._tell,
                stopped=self.stop.is_set,
            )
            name = next(name for name in files if name.endswith(".glb"))
            self.mesh = client.fetch(files[name], self._folder / name)
        except (ServerError, OSError) as error:
            self.error = str(error)

    def _tell(self, line: str) -> None:
        self.status = line


class EPIMESH_OT_make_mesh(Operator, ImportHelper):
    """Make a textured mesh of the object in a photo"""

    bl_idname = "epimesh.make_mesh"
    bl_label = "Mesh from Photo"
    bl_options = {"REGISTER", "UNDO"}

    filter_glob: StringProperty(
        default="*.jpg;*.jpeg;*.png;*.webp;*.avif;*.heic;*.tif;*.tiff;*.bmp", options={"HIDDEN"}
    )
    preset: StringProperty(name="Preset", default="", description="Empty takes the server's first one")
    guess: BoolProperty(name="Estimate the elevation", default=True, description="Of the camera")
    elevation: FloatProperty(name="Elevation", default=20.0, min=-90.0, max=90.0, description="Of the camera, degrees")
    seed: IntProperty(name="Seed", default=0, min=0, max=999_999_999)

    def execute(self, context: Context) -> set[str]:
        """Sends the photo; in a window Blender goes on meanwhile."""
        chosen = context.preferences.addons[__package__].preferences
        self._folder = tempfile.TemporaryDirectory(prefix="epimesh-")
        settings = {
            "elevation": "auto" if self.guess else f"{self.elevation:g}",
            "seed": str(self.seed),
            "formats": "glb",
            **({"preset": self.preset} if self.preset else {}),
        }
        folder = Path(self._folder.name)
        self._thread = _Waiting(Path(self.filepath), folder, chosen.server, chosen.login, settings)
        self._thread.start()
        if bpy.app.background:
            self._thread.join()
            return self._finish(context)
        self._timer = context.window_manager.event_timer_add(_PAUSE, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: Context, event: Event) -> set[str]:
        """Shows how far the server is; Escape stops it."""
        if event.type == "ESC":
            self._thread.stop.set()
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        context.workspace.status_text_set(f"epimesh: {self._thread.status} (Esc stops it)")
        if self._thread.is_alive():
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        context.workspace.status_text_set(None)
        return self._finish(context)

    def _finish(self, context: Context) -> set[str]:
        """Imports the mesh, or says why there is none."""
        try:
            if self._thread.mesh is None:
                self.report({"ERROR"}, self._thread.error or "The server made no mesh.")
                return {"CANCELLED"}
            bpy.ops.import_scene.gltf(filepath=str(self._thread.mesh))
            for made in context.selected_objects:
                if made.parent is None:
                    made.location = context.scene.cursor.location
            return {"FINISHED"}
        finally:
            self._folder.cleanup()


class EPIMESH_PT_panel(Panel):
    """A button in the sidebar."""

    bl_label = "epimesh"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "epimesh"

    def draw(self, context: Context) -> None:
        """The button and where the photo goes."""
        self.layout.operator(EPIMESH_OT_make_mesh.bl_idname, icon="IMAGE_DATA")
        self.layout.label(text=context.preferences.addons[__package__].preferences.server)


def _in_menu(self: Any, context: Context) -> None:
    self.layout.operator(EPIMESH_OT_make_mesh.bl_idname, text="Photo of an object (epimesh)")


_CLASSES = (EpimeshPreferences, EPIMESH_OT_make_mesh, EPIMESH_PT_panel)


def register() -> None:
    """Called by Blender when the add-on is switched on."""
    for one in _CLASSES:
        bpy.utils.register_class(one)
    bpy.types.TOPBAR_MT_file_import.append(_in_menu)


def unregister() -> None:
    """Called by Blender when it is switched off."""
    bpy.types.TOPBAR_MT_file_import.remove(_in_menu)
    for one in reversed(_CLASSES):
        bpy.utils.unregister_class(one)
