"""Objects that are drawn while something learns from them, as a Lightning data module."""

import time
from pathlib import Path

import numpy as np
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader

from epimesh.data.objects import read_manifest
from epimesh.data.packs.online_rendering import Sources
from epimesh.data.solids.shards import ShardWriters
from epimesh.training.volume_prior.batches import SolidBatches


class SolidData(LightningDataModule):
    """Photos beside points of objects; processes draw ever new ones into a folder meanwhile.

    Args:
        objects: a folder of objects with a manifest, of which the training split is used; realistic objects count
            twice.
        textures: pictures of materials for procedural objects, or null.
        folder: of what was drawn; a later training goes on with it.
        processes: that draw; 0 uses what is in the folder.
        shards: in the folder at most, of 50 objects and 27 MB each.
        first: shards to wait for.
        batch: photos per step.
        told_spread_deg: deviation of the told elevation from the true one.
        seed: of everything random.
    """

    def __init__(
        self,
        objects: str = "objects",
        textures: str | None = None,
        folder: str = "renders/solids",
        processes: int = 1,
        shards: int = 400,
        first: int = 4,
        batch: int = 8,
        told_spread_deg: float = 3.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.objects, self.textures, self.folder = Path(objects), textures, Path(folder)
        self.processes, self.shards, self.first = processes, shards, first
        self.batch, self.told_spread_deg, self.seed = batch, told_spread_deg, seed
        self._writers: ShardWriters | None = None

    def setup(self, stage: str) -> None:
        """Starts the processes, and waits for the first shards."""
        if self.processes == 0 or self._writers is not None:
            return
        records = read_manifest(self.objects, "train")
        twice = [*records, *(record for record in records if record.realistic)]
        order = np.random.default_rng(self.seed).permutation(len(twice))
        sources = Sources(
            [twice[i] for i in order],
            None if self.textures is None else Path(self.textures),
            real_share=0.5,
            seed=self.seed,
        )
        self._writers = ShardWriters(sources, self.folder, self.processes, at_most=self.shards)
        self._writers.__enter__()
        while len(list(self.folder.glob("[0-9]*.safetensors"))) < min(self.first, self.shards):
            self._writers.check()
            time.sleep(0.2)

    def train_dataloader(self) -> DataLoader:
        """The endless stream."""
        batches = SolidBatches(self.folder, self.batch, self.told_spread_deg, self.seed)
        return DataLoader(batches, batch_size=None)

    def teardown(self, stage: str) -> None:
        """Ends the processes."""
        if self._writers is not None:
            self._writers.__exit__(None, None, None)
            self._writers = None
