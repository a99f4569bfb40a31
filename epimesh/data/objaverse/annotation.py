"""What Objaverse says about an object, as far as it is needed to choose it and to name its author."""

from dataclasses import dataclass
from typing import Any

# As the data set's annotations call Sketchfab's licences, with the names of SPDX.
LICENCES = {
    "cc0": "CC0-1.0",
    "by": "CC-BY-4.0",
    "by-sa": "CC-BY-SA-4.0",
    "by-nd": "CC-BY-ND-4.0",
    "by-nc": "CC-BY-NC-4.0",
    "by-nc-sa": "CC-BY-NC-SA-4.0",
    "by-nc-nd": "CC-BY-NC-ND-4.0",
}
_OF_SCANS = ("scan", "photogrammetry", "realitycapture", "photoscan", "metashape", "polycam", "lidar")


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """One object of the data set. None: not stated.

    Args:
        uid: name of the object, 32 hexadecimal digits.
        name: its title.
        author: who made it.
        page: where it was published.
        licence: SPDX name; None if none, or one that is not known here, is stated.
        scanned: tagged as a scan of a real thing.
        faces: polygons of the GLB.
        textures: pictures in the GLB.
        megabytes: size of the GLB at its publisher's.
        animations: how many it has.
        age_restricted: not for all ages.
        likes: how often people liked it.
    """

    uid: str
    name: str
    author: str
    page: str
    licence: str | None
    scanned: bool
    faces: int | None
    textures: int | None
    megabytes: float | None
    animations: int | None
    age_restricted: bool | None
    likes: int | None

    @property
    def attribution(self) -> str:
        """Whom and what to name, as the CC licences ask for: title, author, source."""
        return f'"{self.name}" by {self.author}, {self.page}'


def read_annotation(uid: str, entry: dict[str, Any]) -> Annotation:
    """The object `uid` from its entry in the data set's metadata, of which any part may be missing."""
    user = entry.get("user") or {}
    glb = (entry.get("archives") or {}).get("glb") or {}
    tags = [str(tag.get("slug") or tag.get("name") or "").lower() for tag in entry.get("tags") or []]
    size = glb.get("size")
    return Annotation(
        uid=uid,
        name=" ".join(str(entry.get("name") or "untitled").split()),
        author=" ".join(str(user.get("displayName") or user.get("username") or "unknown author").split()),
        page=str(entry.get("viewerUrl") or f"https://sketchfab.com/3d-models/{uid}"),
        licence=LICENCES.get(str(entry.get("license") or "")),
        scanned=any(word in tag for tag in tags for word in _OF_SCANS),
        faces=glb.get("faceCount"),
        textures=glb.get("textureCount"),
        megabytes=size / 1e6 if size is not None else None,
        animations=entry.get("animationCount"),
        age_restricted=entry.get("isAgeRestricted"),
        likes=entry.get("likeCount"),
    )
