"""Makes a GLB small with gltf-transform, the field's own tool, where it is installed."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from epimesh.errors import BadInput, MissingExtra

PROGRAM = "gltf-transform"
_SECONDS = 300  # it takes a few


def check_compressor() -> str:
    """Where the program is.

    Raises:
        MissingExtra: it is not installed.
    """
    found = shutil.which(PROGRAM)
    if found is None:
        raise MissingExtra(
            f"Compressing geometry needs the program {PROGRAM}, and it is not here.\n"
            "Install it with: npm install --global @gltf-transform/cli, or leave out --compress (--texture-format webp "
            "alone halves most files)."
        )
    return found


def compressed(glb: bytes, how: str) -> bytes:
    """The same GLB with its geometry compressed.

    Args:
        glb: a whole file.
        how: "meshopt" or "draco".

    Raises:
        MissingExtra: gltf-transform is not installed.
        BadInput: it failed; the message says why.
    """
    program = check_compressor()
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.glb", Path(folder) / "after.glb"
        before.write_bytes(glb)
        try:
            done = subprocess.run(
                [program, how, str(before), str(after)], capture_output=True, text=True, timeout=_SECONDS, check=False
            )
            reason = (done.stderr or done.stdout).strip()
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = str(error)
        if not after.is_file():
            raise BadInput(
                f"{PROGRAM} {how} did not make a file ({reason[-300:]}).\n"
                "Run it by hand to see more, or leave out --compress."
            )
        return after.read_bytes()
