"""Procedural objects as records, so that they render like the objects of a folder."""

from dataclasses import dataclass
from pathlib import Path

from epimesh.data.objects import ObjectRecord
from epimesh.data.procedural.generate import family_of, generate
from epimesh.mesh import Mesh


def procedural_records(seed: int, first: int, count: int) -> list[ObjectRecord]:
    """Records of the objects `first`, `first + 1`, ... of the set `seed`, for training."""
    return [
        ObjectRecord(
            id=f"procedural_{seed}_{index:06d}",
            path=Path(),
            split="train",
            hard=False,
            realistic=False,
            family=f"procedural_{family_of(seed, index).name}",
            licence="CC0-1.0",
            attribution="",
        )
        for index in range(first, first + count)
    ]


@dataclass(frozen=True)
class LoadProcedural:
    """Makes the mesh of a procedural record.

    Args:
        photos: folder with pictures of materials, or None.
    """

    photos: Path | None = None

    def __call__(self, record: ObjectRecord) -> Mesh:
        """The mesh."""
        _, seed, index = record.id.split("_")
        return generate(int(seed), int(index), photos=self.photos)
