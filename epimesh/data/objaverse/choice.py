"""Which objects of Objaverse are wanted, and how they are split."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from epimesh.data.objaverse.annotation import LICENCES, Annotation
from epimesh.errors import BadInput

TRAIN_SHARE, VAL_SHARE = 0.96, 0.02  # the rest is for tests


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What an object has to be like. One whose annotation leaves open what is asked for is left out.

    Tang et al. (arXiv:2408.14016) train on about 23,000 good objects of Objaverse and do not say which. Wonder3D, whose
    views they use, takes the category-labelled subset (LVIS) and cleans it. So this is a filter of that kind, and no
    reconstruction of theirs.

    Args:
        licences: SPDX names.
        min_faces: polygons; fewer are mostly flat pictures and placeholders.
        max_faces: polygons; more are slow to render.
        max_megabytes: of the file.
        textured: at least one picture in its materials.
        animated: objects with animations too; what they look like at rest is often odd.
        all_ages: only objects that are not age-restricted.
        min_likes: at its publisher's.
    """

    licences: Sequence[str] = ("CC0-1.0", "CC-BY-4.0")
    min_faces: int = 100
    max_faces: int = 500_000
    max_megabytes: float = 50.0
    textured: bool = True
    animated: bool = False
    all_ages: bool = True
    min_likes: int = 0

    def __post_init__(self) -> None:
        unknown = sorted(set(self.licences) - set(LICENCES.values()))
        if unknown or not self.licences:
            raise BadInput(
                f"Found the licences {', '.join(unknown) or 'none at all'}, which Objaverse does not have.\n"
                f"Expected some of: {', '.join(LICENCES.values())}."
            )

    def reason_against(self, annotation: Annotation) -> str | None:
        """Why the object is not wanted, in few words; None if it is."""
        if annotation.licence is None:
            return "no known licence"
        if annotation.licence not in self.licences:
            return f"licence {annotation.licence}"
        wanted = {
            "number of faces": _within(annotation.faces, self.min_faces, self.max_faces),
            "size of the file": _within(annotation.megabytes, 0, self.max_megabytes),
            "no texture": not self.textured or _within(annotation.textures, 1, float("inf")),
            "animated": self.animated or annotation.animations == 0,
            "age-restricted": not self.all_ages or annotation.age_restricted is False,
            "few likes": self.min_likes == 0 or _within(annotation.likes, self.min_likes, float("inf")),
        }
        return next((reason for reason, fine in wanted.items() if not fine), None)


def _within(value: int | float | None, low: int | float, high: int | float) -> bool:
    return value is not None and low <= value <= high


def split_of(uid: str) -> str:
    """train (96 %), val (2 %) or test (2 %), by a hash of the name: whatever else is chosen never changes it."""
    share = order_of(uid) / 2**256
    if share < TRAIN_SHARE:
        return "train"
    return "val" if share < TRAIN_SHARE + VAL_SHARE else "test"


def order_of(uid: str) -> int:
    """A number that shuffles objects the same way everywhere."""
    return int.from_bytes(hashlib.sha256(uid.encode()).digest(), "big")
