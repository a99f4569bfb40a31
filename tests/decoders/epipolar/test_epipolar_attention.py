"""The fast attention is the literal one, to the last digits, and does nothing where it has nothing to say."""

import pytest
import torch
from rigs import ball_depth, doubled, orthographic, uneven_ring
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from epimesh.cameras import Cameras
from epimesh.decoders.epipolar.attention import EpipolarAttention
from epimesh.decoders.epipolar.geometry import Segments, epipolar_segments, ray_offsets, ring_sources
from epimesh.decoders.epipolar.reference import literal_attention
from epimesh.decoders.epipolar.sampling import sampled_sum

SIZE = 16


def layer(sources: int = 5, channels: int = 32, *, trained: bool = True) -> EpipolarAttention:
    """Strong random weights, so that softmax chooses."""
    made = EpipolarAttention(channels, sources, head_channels=8, norm_groups=4).double()
    if trained:
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    return made


def segments_of(cameras: Cameras, margin: float = 0.3, samples: int = 4) -> Segments:
    """Of the ball, with points that fall outside of images, behind a camera, and pixels that know no depth."""
    matrices = cameras.world_to_camera.clone()
    matrices[3, 2, 3] = 0.3  # stands inside the scene
    inside = Cameras(matrices, cameras.intrinsics, cameras.height, cameras.width, cameras.orthographic)
    depth = ball_depth(cameras.resized(SIZE, SIZE))
    offsets = ray_offsets(torch.rand(*depth.shape, samples).double(), margin)
    return epipolar_segments(inside, depth, sources=ring_sources(len(cameras), len(cameras) - 1), offsets=offsets)


def in_single(segments: Segments) -> Segments:
    return Segments(segments.sources, segments.positions.float(), segments.visible, segments.rays.float())


def values_and_gradients(run, features: Tensor, parameters: list[Tensor]) -> list[Tensor]:
    features = features.detach().requires_grad_()
    out = run(features)
    weights = torch.linspace(-1, 1, out.numel()).reshape(out.shape).to(out)
    return [out.detach(), *torch.autograd.grad((out * weights).sum(), [features, *parameters])]


@pytest.mark.parametrize("views", [4, 6])
@pytest.mark.parametrize("kind", [lambda cameras: cameras, orthographic], ids=["pinhole", "orthographic"])
@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_values_and_gradients_are_those_of_the_literal_formula(views: int, kind, precision, tolerance: float) -> None:
    segments = segments_of(kind(uneven_ring(views)))
    partly = segments.visible.any(-1).any(-1) & ~segments.visible.all(-1).all(-1)
    assert partly.sum() > 50  # the cases that matter are there
    segments = segments if precision == torch.float64 else in_single(segments)
    attention = layer(views - 1).to(precision)
    features = torch.randn(views, 32, SIZE, SIZE, dtype=precision)
    parameters = list(attention.parameters())
    fast = values_and_gradients(lambda x: attention(x, segments), features, parameters)
    slow = values_and_gradients(lambda x: literal_attention(attention, x, segments), features, parameters)
    for found, expected in zip(fast, slow, strict=True):
        assert found.isfinite().all()
        assert (found - expected).abs().max() <= tolerance * max(1.0, float(expected.abs().max()))
    assert (fast[0] - features).abs().max() > 0.1


def test_a_further_map_is_looked_at_and_not_changed() -> None:
    cameras = Cameras.joined([uneven_ring(), doubled(Cameras.ring(1, size=32))])
    sources = torch.cat([ring_sources(6, 5), torch.full((6, 1), 6)], dim=1)
    depth = ball_depth(cameras.resized(SIZE, SIZE))[:6]
    middle = ray_offsets(torch.full((3,), 0.5).double(), 0.1)
    segments = epipolar_segments(cameras, depth, sources=sources, offsets=middle)
    attention, features, photo = (
        layer(6),
        torch.randn(6, 32, SIZE, SIZE).double(),
        torch.randn(1, 32, SIZE, SIZE).double(),
    )
    with torch.no_grad():
        found = attention(features, segments, further=photo)
        assert found.shape == features.shape
        torch.testing.assert_close(found, literal_attention(attention, features, segments, photo), atol=1e-12, rtol=0)
        assert (
            attention(features, segments, further=photo + 1) - found
        ).abs().max() < 1e-12  # a constant: normalised away
        assert (attention(features, segments, further=photo.flip(-1)) - found).abs().max() > 0.1


def test_before_training_it_adds_exactly_nothing() -> None:
    features = torch.randn(6, 32, SIZE, SIZE).double()
    assert torch.equal(layer(trained=False)(features, segments_of(uneven_ring())), features)


def test_pixels_of_unknown_depth_and_those_that_no_source_sees_are_not_changed_at_all() -> None:
    segments, features = segments_of(uneven_ring()), torch.randn(6, 32, SIZE, SIZE).double()
    segments.visible[1, 4:12, 4:12] = False  # seen by nobody
    segments.visible[2] = False  # a whole view
    attending = segments.visible.any((-1, -2))
    for out in (layer()(features, segments), literal_attention(layer(), features, segments)):
        changed = (out != features).any(1)
        assert out.isfinite().all()
        assert torch.equal(changed, attending)
    segments.visible[:] = False
    assert torch.equal(layer()(features, segments), features)


def test_pixels_that_are_not_changed_give_finite_gradients() -> None:
    segments, features = segments_of(uneven_ring()), torch.randn(6, 32, SIZE, SIZE).double()
    segments.visible[2:] = False
    gradients = values_and_gradients(lambda x: layer()(x, segments), features, [])
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("max_bytes", [1, 10_000, 300_000, 2**30])
def test_the_memory_limit_does_not_change_the_result(max_bytes: int) -> None:
    torch.manual_seed(1)
    attention, segments = layer().float(), in_single(segments_of(uneven_ring()))
    features = torch.randn(6, 32, SIZE, SIZE)
    with torch.no_grad():
        whole = attention(features, segments)
        assert (attention(features, segments, max_bytes=max_bytes) - whole).abs().max() < 1e-6 * float(
            whole.abs().max()
        )


class LargestTensor(TorchDispatchMode):
    """Notes the bytes of the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        out = function(*arguments, **(named or {}))
        for part in out if isinstance(out, tuple | list) else [out]:
            if isinstance(part, Tensor) and not function.is_view:
                self.bytes = max(self.bytes, part.numel() * part.element_size())
        return out


def test_no_tensor_is_larger_than_the_maps_of_all_slots_however_many_points_there_are() -> None:
    attention, features = layer().float(), torch.randn(6, 32, SIZE, SIZE)
    largest = {}
    for samples in (2, 40):
        segments = in_single(segments_of(uneven_ring(), samples=samples))
        for run in (
            lambda s=segments: attention(features, s, max_bytes=200_000),
            lambda s=segments: literal_attention(attention, features, s),
        ):
            with torch.no_grad(), LargestTensor() as noted:
                run()
            largest.setdefault(samples, []).append(noted.bytes)
    maps = 6 * 32 * SIZE * SIZE * 4
    assert largest[2][0] == largest[40][0] == maps
    assert largest[40][1] == 40 * 5 * maps  # what the literal form holds instead


def test_with_no_margin_all_points_are_one_and_attention_returns_its_value() -> None:
    cameras = uneven_ring()
    depth = ball_depth(cameras.resized(SIZE, SIZE))
    one, seven = (
        epipolar_segments(
            cameras, depth, sources=ring_sources(6, 5), offsets=ray_offsets(torch.rand(count).double(), 0.0)
        )
        for count in (1, 7)
    )
    attention, features = layer(), torch.randn(6, 32, SIZE, SIZE).double()
    torch.testing.assert_close(attention(features, seven), attention(features, one), atol=1e-12, rtol=0)


def test_turning_the_world_changes_nothing_until_rays_are_listened_to() -> None:
    cameras = uneven_ring()
    turn = torch.linalg.qr(torch.randn(3, 3).double()).Q
    matrices = cameras.world_to_camera.clone()
    matrices[:, :3, :3] = matrices[:, :3, :3] @ (turn * torch.det(turn).sign())
    turned = Cameras(matrices, cameras.intrinsics, 32, 32)
    depth, middle = ball_depth(cameras.resized(SIZE, SIZE)), ray_offsets(torch.full((3,), 0.5).double(), 0.1)
    before, after = (
        epipolar_segments(rig, depth, sources=ring_sources(6, 5), offsets=middle) for rig in (cameras, turned)
    )
    attention, features = layer(), torch.randn(6, 32, SIZE, SIZE).double()
    listening = attention(features, before) - attention(features, after)
    assert listening.abs().max() > 1e-3
    torch.nn.init.zeros_(attention.rays.weight)
    torch.testing.assert_close(attention(features, after), attention(features, before), atol=1e-9, rtol=0)


def test_two_steps_of_training_move_every_weight() -> None:
    torch.manual_seed(0)
    attention = EpipolarAttention(32, 5, head_channels=8, norm_groups=4).double()
    segments, features = segments_of(uneven_ring()), torch.randn(6, 32, SIZE, SIZE).double()
    target = features.roll(1, dims=0)
    before = {name: parameter.detach().clone() for name, parameter in attention.named_parameters()}
    optimizer = torch.optim.SGD(attention.parameters(), lr=1.0)
    moved = []
    for _ in range(2):
        optimizer.zero_grad()
        (attention(features, segments) - target).square().mean().backward()
        optimizer.step()
        moved.append({name for name, now in attention.named_parameters() if not torch.equal(now, before[name])})
    assert moved[0] == {"to_out.weight", "to_out.bias"}  # nothing else can, through weights that are zero
    assert moved[1] == set(before)


def test_sums_of_samples_are_those_of_a_loop_over_pixels() -> None:
    width, height, maps = 5, 4, torch.randn(3, 20, 2).double()
    positions = torch.rand(50, 3, 2).double() * 9 - 2
    positions[0] = torch.tensor([1e12, -1e12])
    counts = torch.rand(50, 3) < 0.8
    expected = torch.zeros(50, 2).double()
    for point in range(50):
        for source in range(3):
            for row in range(height):
                for column in range(width):
                    u, v = positions[point, source].tolist()
                    near = max(0, 1 - abs(u - column - 0.5)) * max(0, 1 - abs(v - row - 0.5))
                    expected[point] += bool(counts[point, source]) * near * maps[source, row * width + column]
    torch.testing.assert_close(sampled_sum(maps, positions, counts, width), expected, atol=1e-12, rtol=0)


def test_sampling_at_pixel_centres_returns_the_map() -> None:
    maps = torch.randn(1, 20, 7)
    centres = torch.stack(torch.meshgrid(torch.arange(5) + 0.5, torch.arange(4) + 0.5, indexing="xy"), dim=-1)
    found = sampled_sum(maps, centres.reshape(20, 1, 2), torch.ones(20, 1, dtype=torch.bool), 5)
    assert (found - maps[0]).abs().max() < 1e-6
