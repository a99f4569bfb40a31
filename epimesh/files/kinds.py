"""What a file is, by its first bytes: for messages about files that are not what their name says."""

from pathlib import Path

SAFETENSORS = "a safetensors file"
_STARTS = {
    b"version https://git-lfs": "a pointer of Git LFS, not the file that it stands for (git lfs pull brings it)",
    b"<!doctype": "a web page, as a download gives that wanted a login",
    b"<html": "a web page, as a download gives that wanted a login",
    b"glTF": "a GLB mesh",
    b"GGUF": "a GGUF model",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive",
}


def kind_of(path: Path) -> str | None:
    """A few words about what the file is, or None for kinds that are not told apart here."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return None
    plain = head.lstrip().lower()
    if _is_safetensors(head):
        return SAFETENSORS
    return next((kind for start, kind in _STARTS.items() if plain.startswith(start.lower())), None)


def _is_safetensors(head: bytes) -> bool:
    """Eight bytes of length, then JSON."""
    return len(head) > 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000
