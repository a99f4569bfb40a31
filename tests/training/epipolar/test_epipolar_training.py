"""The full-size training of the epipolar decoder at a tiny size: begins as SVD, learns, stops, goes on, is used."""

import itertools
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import pytorch_lightning
import torch
from diffusers import AutoencoderKLTemporalDecoder
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from epimesh.cameras import FOV_DEG, Cameras
from epimesh.data.packs.six_views import six_view_cameras
from epimesh.data.posed.depth_noise import DepthNoise
from epimesh.decoders import EpipolarDecoder, GivenDepth
from epimesh.decoders.epipolar.network import EpipolarVae
from epimesh.errors import BadInput, BadWeights, StageMismatch
from epimesh.files.posed_set import write_transforms
from epimesh.photo import Photo
from epimesh.runtime import Runtime
from epimesh.training.epipolar.data import PosedObject, PosedObjects, SixViewData, objects_in, read_posed_object
from epimesh.training.epipolar.latents import ViewLatents
from epimesh.training.epipolar.losses import GradientDifference, PerceptualDifference
from epimesh.training.epipolar.training import EpipolarDecoderTraining
from epimesh.training.syncdreamer.training import step_random
from epimesh.views import LatentViews, Views
from epimesh.weights.loading import load_network

SIZE = 32
SETTINGS = {"samples": (3, 3, 2), "neighbours": 3, "margin": 0.2}


@pytest.fixture(scope="module")
def svd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("svd") / "vae"
    AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32, 32), down_block_types=("DownEncoderBlock2D",) * 3, layers_per_block=2
    ).save_pretrained(folder)
    return folder


def colored_views(seed: int, cameras: Cameras) -> Views:
    """A square of noise in front of every camera."""
    random = torch.Generator().manual_seed(seed)
    rgb, alpha = torch.ones(len(cameras), 3, SIZE, SIZE), torch.zeros(len(cameras), 1, SIZE, SIZE)
    rgb[..., 8:24, 8:24] = torch.rand(len(cameras), 3, 16, 16, generator=random)
    alpha[..., 8:24, 8:24] = 1
    depth = torch.where(alpha[:, 0] > 0, 1.3 + 0.1 * torch.rand(len(cameras), SIZE, SIZE, generator=random), torch.inf)
    return Views(rgb=rgb, alpha=alpha, cameras=cameras, depth=depth)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three objects in six views; two seen in parallel rays, one in perspective."""
    home = tmp_path_factory.mktemp("six")
    for number, projection in enumerate(("orthographic", "orthographic", "perspective")):
        write_transforms(colored_views(number, six_view_cameras(SIZE, projection)), home / f"object{number}")
    return home


def training(svd: Path, export: Path, **settings: object) -> EpipolarDecoderTraining:
    torch.manual_seed(0)
    made = {**SETTINGS, "rate": 1e-3, "keep_latents": False, **settings}
    return EpipolarDecoderTraining(str(export), str(svd), **made)  # type: ignore[arg-type]


def trainer(steps: int, **settings: object) -> pytorch_lightning.Trainer:
    silent = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    made = {"max_steps": steps, "max_epochs": -1, "accelerator": "cpu", "enable_checkpointing": False, **silent}
    return pytorch_lightning.Trainer(**{**made, **settings})  # type: ignore[arg-type]


def first(objects: Path) -> PosedObject:
    return read_posed_object(objects / "object0")


def loss(learning: EpipolarDecoderTraining, views: PosedObject) -> Tensor:
    return sum(learning.losses(views), torch.zeros(()))


def test_it_begins_as_the_decoder_of_stable_video_diffusion(svd: Path, objects: Path, tmp_path: Path) -> None:
    learning, views = training(svd, tmp_path), first(objects)
    vae = AutoencoderKLTemporalDecoder.from_pretrained(svd)
    with torch.no_grad():
        found = learning.decoded(views, step_random(0, 0, 0))
        latents = vae.encode(views.rgb * 2 - 1).latent_dist.mode()
        expected = vae.decode(latents, num_frames=len(latents)).sample
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_everything_learns_within_a_few_steps(svd: Path, objects: Path, tmp_path: Path) -> None:
    learning = training(svd, tmp_path)
    before = {name: weight.detach().clone() for name, weight in learning.network.named_parameters()}
    trainer(3).fit(learning, SixViewData([str(objects)]))
    unchanged = [
        name for name, weight in learning.network.named_parameters() if torch.equal(weight.detach(), before[name])
    ]
    # A mixing factor of one frame's worth and biases before a norm may stand still; nothing that is new may.
    assert [name for name in unchanged if not name.startswith("decoder.")] == []
    assert len(unchanged) < 0.1 * len(before)


def test_more_steps_on_one_object_come_closer_to_it(svd: Path, objects: Path, tmp_path: Path) -> None:
    learning, views = training(svd, tmp_path, rate=3e-3), first(objects)
    begun = float(loss(learning, views).detach())
    trainer(10).fit(learning, torch.utils.data.DataLoader([views] * 10, batch_size=None))
    assert float(loss(learning, views).detach()) < 0.7 * begun


def test_computing_layers_again_changes_neither_loss_nor_gradients(svd: Path, objects: Path, tmp_path: Path) -> None:
    found = []
    for recompute in (True, False):
        learning = training(svd, tmp_path, recompute=recompute)
        for layer in learning.network.attentions:
            torch.nn.init.normal_(layer.to_out.weight, std=0.1)
        value = loss(learning, first(objects))
        value.backward()
        found.append([value.detach(), *(weight.grad for weight in learning.network.parameters())])
    for again, kept in zip(*found, strict=True):
        torch.testing.assert_close(again, kept)


def test_bf16_changes_the_loss_by_rounding_only(svd: Path, objects: Path, tmp_path: Path) -> None:
    learning = training(svd, tmp_path)
    for layer in learning.network.attentions:
        torch.nn.init.normal_(layer.to_out.weight, std=0.1)
    exact = loss(learning, first(objects))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = loss(learning, first(objects))
    rounded.backward()
    torch.testing.assert_close(rounded, exact, rtol=0.03, atol=0)
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in learning.network.parameters())


@pytest.mark.parametrize("kind", ["structured", "independent", "none"])
def test_depth_gets_the_noise_that_is_asked_for_and_the_same_again(
    svd: Path, objects: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    learning, views = training(svd, tmp_path, depth_noise=DepthNoise(kind=kind)), first(objects)
    used: list[Tensor] = []
    segments = learning.network.segments
    monkeypatch.setattr(
        learning.network,
        "segments",
        lambda cameras, depth, *rest, **more: used.append(depth) or segments(cameras, depth, *rest, **more),
    )
    for _ in range(2):
        learning.losses(views)
    learning.losses(views._replace(number=7))
    assert torch.equal(used[0], used[1])
    assert torch.equal(used[0], views.depth) == (kind == "none")
    assert torch.equal(used[0], used[2]) == (kind == "none")


def test_a_stopped_training_goes_on_bit_for_bit_as_if_it_had_not(svd: Path, objects: Path, tmp_path: Path) -> None:
    whole, part, going_on = (training(svd, tmp_path / name) for name in ("whole", "part", "part"))
    data = lambda: SixViewData([str(objects)])  # noqa: E731
    trainer(5).fit(whole, data())
    stopped = trainer(2)
    stopped.fit(part, data())
    stopped.save_checkpoint(tmp_path / "part.ckpt")
    resumed = trainer(5)
    resumed.fit(going_on, data(), ckpt_path=tmp_path / "part.ckpt")
    assert resumed.global_step == 5
    for (name, expected), found in zip(whole.network.named_parameters(), going_on.network.parameters(), strict=True):
        assert torch.equal(expected, found), name


def test_two_processes_learn_what_one_would_from_both_their_objects(svd: Path, objects: Path, tmp_path: Path) -> None:
    """By the command, over gloo; the reference averages the gradients of both objects by hand."""
    yaml = f"""
model:
  class_path: epimesh.training.epipolar.training.EpipolarDecoderTraining
  init_args: {{export: out, svd: "{svd}", samples: [3, 3, 2], neighbours: 3, margin: 0.2, rate: 1.0e-3}}
data:
  class_path: epimesh.training.epipolar.data.SixViewData
  init_args: {{train: ["{objects}"]}}
trainer: {{max_steps: 2, max_epochs: -1, accelerator: cpu, devices: 2, strategy: ddp, logger: false,
  enable_checkpointing: false, enable_progress_bar: false, use_distributed_sampler: false}}
"""
    (tmp_path / "config.yaml").write_text(yaml)
    command = [sys.executable, "-m", "epimesh", "train", "config.yaml"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    found = load_network(EpipolarVae, tmp_path / "out")

    pytorch_lightning.seed_everything(0)  # as the command does before it makes the network
    alone = EpipolarDecoderTraining(str(tmp_path), str(svd), rate=1e-3, **SETTINGS)  # type: ignore[arg-type]
    start = torch.cat([weight.detach().flatten() for weight in alone.network.parameters()])
    optimizer, read = alone.configure_optimizers(), PosedObjects(objects_in(objects), 0)
    for step in range(2):
        optimizer.zero_grad()
        for process in range(2):
            (loss(alone, read[2 * step + process]) / 2).backward()
        optimizer.step()
    # Adam turns rounding into steps where a gradient is next to nothing, so the steps are compared as a whole.
    expected = torch.cat([weight.detach().flatten() for weight in alone.network.parameters()]) - start
    steps = torch.cat([found.get_parameter(name).flatten() for name, _ in alone.network.named_parameters()]) - start
    assert float((steps - expected).norm()) < 0.02 * float(expected.norm())


def test_every_object_comes_once_per_round_and_rounds_differ(objects: Path) -> None:
    read = PosedObjects(objects_in(objects), seed=1)
    rounds = [[Path(read[3 * turn + place].folder).name for place in range(3)] for turn in range(4)]
    assert all(sorted(names) == ["object0", "object1", "object2"] for names in rounds)
    assert len({tuple(names) for names in rounds}) > 1
    assert [item.number for item in itertools.islice(SixViewData([str(objects)]).train_dataloader(), 4)] == [0, 1, 2, 3]


def test_what_is_read_is_what_was_written(objects: Path) -> None:
    views, found = colored_views(0, six_view_cameras(SIZE, "orthographic")), first(objects)
    torch.testing.assert_close(found.rgb, views.rgb, atol=1 / 255, rtol=0)
    torch.testing.assert_close(found.depth, views.depth, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.cameras().world_to_camera, views.cameras.world_to_camera)
    assert found.orthographic


def test_objects_that_cannot_teach_are_refused(objects: Path, tmp_path: Path, svd: Path) -> None:
    with pytest.raises(BadInput, match=r"no objects in .*\n.*--views six"):
        objects_in(tmp_path)
    views = colored_views(0, six_view_cameras(SIZE, "perspective"))
    write_transforms(replace(views, depth=None), tmp_path / "flat")
    with pytest.raises(BadInput, match="have no depth"):
        read_posed_object(tmp_path / "flat")
    (tmp_path / "flat" / "object.json").write_text('{"split": "test"}')
    with pytest.raises(BadInput, match=r"split 'test'.*\n.*never train"):
        objects_in(tmp_path)
    disordered = first(objects)
    disordered = disordered._replace(world_to_camera=disordered.world_to_camera[[0, 2, 1, 3, 4, 5]])
    with pytest.raises(StageMismatch, match="ring order"):
        training(svd, tmp_path).losses(disordered)


def test_latents_are_made_once_and_made_again_where_they_are_damaged(svd: Path, tmp_path: Path) -> None:
    write_transforms(colored_views(5, six_view_cameras(SIZE, "perspective")), tmp_path / "cup")
    views = read_posed_object(tmp_path / "cup")
    made = ViewLatents(str(svd), keep=True)(views)
    (file,) = (tmp_path / "cup").glob("latents-*.safetensors")
    save_file({"latents": made + 1}, file)
    assert torch.equal(ViewLatents(str(svd), keep=True)(views), made + 1)
    assert torch.equal(ViewLatents(str(svd), keep=False)(views), made)
    file.write_bytes(b"cut off")
    assert torch.equal(ViewLatents(str(svd), keep=True)(views), made)
    assert torch.equal(load_file(file)["latents"], made)
    assert not list((tmp_path / "cup").glob(".latents*"))


def test_pictures_show_the_plain_decoding_ours_and_the_truth(svd: Path, objects: Path, tmp_path: Path) -> None:
    learning = training(svd, tmp_path / "out", shown=str(objects / "object0"), shown_every=2)
    trainer(4).fit(learning, SixViewData([str(objects)]))
    pictures = sorted((tmp_path / "out-pictures").glob("*.png"))
    assert [picture.name for picture in pictures] == ["000002.png", "000004.png"]
    early, late = (torch.frombuffer(bytearray(Image.open(file).tobytes()), dtype=torch.uint8) for file in pictures)
    rows = [sheet.reshape(3, SIZE, 6 * SIZE, 3).int() for sheet in (early, late)]
    assert torch.equal(rows[0][0], rows[1][0])
    assert not torch.equal(rows[0][1], rows[1][1])
    truth = torch.cat(list(first(objects).rgb), dim=2).permute(1, 2, 0)
    assert (rows[0][2] - truth * 255).abs().max() <= 1


def test_what_is_exported_is_what_the_stage_runs(svd: Path, objects: Path, tmp_path: Path) -> None:
    learning = training(svd, tmp_path / "out")
    trainer(2).fit(learning, SixViewData([str(objects)]))
    views = read_posed_object(objects / "object2")
    save_file({"depth": views.depth}, tmp_path / "depth.safetensors")
    photo = Photo(torch.cat([views.rgb[0], torch.ones(1, SIZE, SIZE)]), 0.0, FOV_DEG)
    given = LatentViews(learning.latents(views), views.cameras(), photo, "sd")
    stage = EpipolarDecoder(weights=str(tmp_path / "out"), depth=GivenDepth(file=tmp_path / "depth.safetensors"))
    decoded = stage(given, runtime=Runtime("cpu"))
    network = learning.network.eval()
    with torch.no_grad():
        segments = network.segments(views.cameras(), views.depth, photo.camera)
        expected = network(given.latents, segments, photo_rgb=views.rgb[:1], photo_view=0)
    torch.testing.assert_close(decoded.rgb, (expected / 2 + 0.5).clamp(0, 1), atol=1e-5, rtol=1e-4)
    again = training(svd, tmp_path, start_from=str(tmp_path / "out"))
    assert all(map(torch.equal, again.network.state_dict().values(), learning.network.state_dict().values()))


def test_without_a_perceptual_network_the_loss_is_named_gradient(svd: Path, objects: Path, tmp_path: Path) -> None:
    ran = trainer(1)
    ran.fit(training(svd, tmp_path), SixViewData([str(objects)]))
    assert ran.callback_metrics.keys() == {"loss", "squared", "gradient"}
    images = torch.rand(2, 3, 8, 8)
    assert float(GradientDifference()(images, images + 0.3)) == pytest.approx(0, abs=1e-6)
    assert float(GradientDifference()(images, images.flip(-1))) > 0.1


def vgg_state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    state, inputs = {}, 3
    places = {0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256, 14: 256} | dict.fromkeys((17, 19, 21, 24, 26, 28), 512)
    for place, width in places.items():  # as torchvision numbers them
        state[f"features.{place}.weight"] = torch.randn(width, inputs, 3, 3) * (2 / 9 / inputs) ** 0.5
        state[f"features.{place}.bias"] = torch.zeros(width)
        inputs = width
    return state


def test_with_weights_of_vgg_the_loss_is_perceptual(svd: Path, objects: Path, tmp_path: Path) -> None:
    torch.save(vgg_state() | {"classifier.0.weight": torch.zeros(1)}, tmp_path / "vgg16.pth")
    ran = trainer(1)
    learning = training(svd, tmp_path / "out", vgg=str(tmp_path / "vgg16.pth"))
    assert not any("vgg" in name or "layers" in name for name, _ in learning.named_parameters() if "front" not in name)
    ran.fit(learning, SixViewData([str(objects)]))
    assert ran.callback_metrics.keys() == {"loss", "squared", "perceptual"}
    difference = PerceptualDifference(tmp_path / "vgg16.pth")
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    assert float(difference(images, images).detach()) == 0
    value = difference(images, images.detach().flip(-1))
    value.backward()
    assert value > 0.1
    assert images.grad.abs().sum() > 0


def test_files_that_are_no_vgg_are_refused_and_nothing_in_them_is_run(tmp_path: Path) -> None:
    (tmp_path / "code.pth").write_bytes(pickle.dumps(os.getcwd))
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    for name, says in (("code.pth", "plain weights"), ("other.pth", "no VGG16"), ("absent.pth", "cannot be read")):
        with pytest.raises(BadWeights, match=says):
            PerceptualDifference(tmp_path / name)
