"""Rings of views say truly what they show, and a short training exports something that can be used."""

import itertools
from pathlib import Path

import pytest
import pytorch_lightning
import torch
from numbered_packs import numbered_pack, save_noise_packs
from small_weights import save_small_weights, small_parts

from epimesh.cameras import RING, Cameras
from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.runtime import Runtime
from epimesh.stages.shared.prior_guided import pose
from epimesh.stages.syncdreamer.small_network import load_small_joint
from epimesh.stages.syncdreamer.small_stage import SmallSyncDreamer
from epimesh.stages.zero123.small_network import load_view_denoiser
from epimesh.training.data.pack_data import PackPairs, fold_of, packs_in
from epimesh.training.data.ring_batches import PackRingData, PackRings, RingViews
from epimesh.training.syncdreamer.small_training import SmallSyncDreamerTraining
from epimesh.training.zero123.small_training import FoldPriors, ring_pose


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_small_weights(folder, (16, 32, 32))
    return folder


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two objects of both folds, of the size that the networks take: noise, in which no view is like another."""
    folder = tmp_path_factory.mktemp("packs")
    save_noise_packs(folder, ("cups", "chairs", "shoes", "lamps"), size=128)
    return folder


def training(weights: Path, export: Path, **settings: object) -> SmallSyncDreamerTraining:
    torch.manual_seed(0)
    made = {
        **small_parts(weights),
        "views_per_step": 3,
        "minutes": 100.0,
    }
    return SmallSyncDreamerTraining(str(export), **{**made, **settings})  # type: ignore[arg-type]


def rings(folder: Path, count: int, ring_photos: float = 0.5, seed: int = 0) -> list[RingViews]:
    return list(itertools.islice(PackRings([packs_in(folder)], 8, ring_photos, seed), count))


def test_rings_are_turned_and_mirrored_as_the_pairs_are(numbered: Path) -> None:
    """Pairs say which original view stands at a turn from a photo; rings have to show the same one there."""
    pairs = PackPairs([packs_in(numbered)], 64, 0.5, 1)
    known: dict[tuple[int, int, bool], int] = {}
    for batch in itertools.islice(pairs, 60):
        for item in range(64):
            mirrored = bool(batch.mirrored[item])
            column = -1 if mirrored else 0
            photo, target = (int(image[item, 0, 0, column]) for image in (batch.photo, batch.target))
            known[photo, int(batch.turn[item]), mirrored] = target
    compared = {False: 0, True: 0}
    for batch in rings(numbered, 20):
        for item in range(8):
            mirrored = bool(batch.mirrored[item])
            column = -1 if mirrored else 0
            photo = int(batch.photo[item, 0, 0, column])
            for turn in range(RING):
                if (photo, turn, mirrored) in known:
                    assert int(batch.ring[item, turn, 0, 0, column]) == known[photo, turn, mirrored]
                    compared[mirrored] += 1
    assert min(compared.values()) > 500


def test_folders_take_turns_so_that_small_batches_have_equal_shares_too(numbered: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    pack = numbered_pack("lonely")
    pack.rgba[:, 2] = 77
    pack.save(tmp_path / "one" / "lonely.safetensors")
    stream = PackRings([packs_in(numbered), packs_in(tmp_path / "one")], 3, 0.5, 0)
    marks = torch.cat([batch.photo[:, 2, 0, 3] == 77 for batch in itertools.islice(stream, 4)])
    assert marks.tolist() == [False, True] * 6


def test_the_module_hands_out_the_stream_and_folds_are_those_of_families(numbered: Path) -> None:
    batch = next(iter(PackRingData([str(numbered)], batch=5).train_dataloader()))
    assert batch.ring.shape == (5, RING, 4, 8, 8)
    folds = {fold for rows in rings(numbered, 10) for fold in rows.fold.tolist()}
    assert folds == {fold_of(path.stem) for path in packs_in(numbered)}


def test_the_guess_of_a_ring_is_that_of_the_prior_which_never_saw_the_object(weights: Path) -> None:
    priors = FoldPriors([str(weights / "prior0"), str(weights / "prior1")], elevation_noise_deg=0.0)
    photo, elevation = torch.randn(3, 4, 16, 16), torch.tensor([10.0, 20.0, 30.0])
    fold, turns = torch.tensor([1, 0, 1]), torch.stack([torch.randperm(RING) for _ in range(3)])
    found = priors.views(photo, elevation, fold, turns)
    for item in range(3):
        with torch.no_grad():
            ring = priors.networks[int(fold[item])](photo[item : item + 1], elevation[item : item + 1])[0]
        torch.testing.assert_close(found[item], ring[turns[item]], atol=1e-5, rtol=1e-5)


def test_gradients_reach_the_volume_once_the_attention_has_moved_and_the_rates_differ(
    weights: Path, packs: Path, tmp_path: Path
) -> None:
    learning = training(weights, tmp_path, drop=0.0, unet_share=0.25, rate=1e-2)
    fast_and_slow = {share: list(parameters) for share, parameters in learning.shares()}
    assert sum(len(parameters) for parameters in fast_and_slow.values()) == len(list(learning.network.parameters()))
    batch = rings(packs, 1)[0]
    optimizer = learning.configure_optimizers()
    assert [group["share"] for group in optimizer.param_groups] == [0.25, 1.0]
    learning.log = lambda *_, **__: None  # type: ignore[method-assign]  # outside of a trainer there is no log
    for _ in range(2):
        optimizer.zero_grad()
        learning.training_step(batch, 0).backward()
        optimizer.step()
    volume = learning.network.joint.volume
    silent = [name for name, parameter in volume.named_parameters() if parameter.grad is None]
    assert silent == []
    assert float(volume.encoder.conv_in.weight.grad.abs().max()) > 0


def test_a_short_training_exports_what_the_stage_can_use(weights: Path, packs: Path, tmp_path: Path) -> None:
    learning = training(weights, tmp_path / "out", export_every=2, drop=0.5, largest_time=600)
    learning.spent = 10.0
    before = learning.network.joint.volume.encoder.conv_in.weight.detach().clone()
    silent = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pytorch_lightning.Trainer(max_steps=4, accelerator="cpu", enable_checkpointing=False, **silent)
    trainer.fit(learning, PackRingData([str(packs)], batch=2))
    network = load_small_joint(str(tmp_path / "out")).network
    assert network.largest_time == 600
    assert float((network.joint.volume.encoder.conv_in.weight - before).abs().max()) > 1e-4
    stage = SmallSyncDreamer(
        weights=str(tmp_path / "out"), prior=str(weights / "prior0"), autoencoder=str(weights / "vae"), steps=2
    )
    photo = Photo(torch.rand(4, 128, 128), 20.0, 49.1)
    assert stage(photo, runtime=Runtime("cpu")).latents.isfinite().all()
    with pytest.raises(BadInput, match="up to 600"):
        SmallSyncDreamer(weights=stage.weights, prior=stage.prior, autoencoder=stage.autoencoder, start=700)(
            photo, runtime=Runtime("cpu")
        )
    again = training(weights, tmp_path / "again", start_from=str(tmp_path / "out"))
    assert again.network.largest_time == 600


def test_a_joint_training_with_no_share_for_the_views_leaves_them_as_they_are_and_they_load_alone(
    weights: Path, packs: Path, tmp_path: Path
) -> None:
    learning = training(weights, tmp_path / "out", unet_share=0.0, rate=1e-2)
    silent = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pytorch_lightning.Trainer(max_steps=2, accelerator="cpu", enable_checkpointing=False, **silent)
    trainer.fit(learning, PackRingData([str(packs)], batch=2))
    before = load_view_denoiser(str(weights / "views")).network.state_dict()
    after = load_view_denoiser(str(tmp_path / "out")).network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before.keys() | after.keys())


def test_poses_of_the_ring_are_those_of_its_cameras() -> None:
    turn, elevation_deg = torch.arange(16), torch.linspace(-10, 40, 16)
    found = ring_pose(turn, elevation_deg)
    photos = Cameras.on_sphere(torch.zeros(16), elevation_deg, size=8)
    ring = Cameras.ring(size=8)
    expected = torch.cat([pose(photos[i], ring[i]) for i in range(16)])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_an_impossible_number_of_views_is_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="views_per_step is 17"):
        training(weights, tmp_path, views_per_step=17)
