"""What decoders that are guided by rough depth share: where depth comes from, how often, and which rigs they know."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.decoders.epipolar.depth import check_depth
from epimesh.decoders.epipolar.depth_sources import CoarseDepth, DepthSource
from epimesh.decoders.epipolar.geometry import ring_sources
from epimesh.errors import BadInput, StageMismatch
from epimesh.pipeline.contracts import ViewDecoder
from epimesh.runtime import Reporter, Runtime
from epimesh.views import LatentViews, Views

_LITTLE = 0.75  # share of known depth below which people should hear of it


@dataclass(frozen=True, kw_only=True)
class DepthGuidedDecoder(ViewDecoder):
    """Decodes views together by rough depth, again with the depth of what came out if asked to. One view plainly.

    Args:
        weights: of the network, to which neighbours, points and margin belong.
        depth: where rough depth comes from.
        rounds: how often to decode; from the second round on the reconstruction of `depth` sees the last round's views.
    """

    weights: str
    depth: DepthSource
    rounds: int = 1

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise BadInput(f"rounds is {self.rounds}.\nExpected at least 1, which decodes once by the depth there is.")
        if self.rounds > 1 and not isinstance(self.depth, CoarseDepth):
            raise BadInput(
                f"rounds is {self.rounds}, but the depth of a {type(self.depth).__name__} is the same in every round.\n"
                "Use rounds 1, or CoarseDepth, which reconstructs again from the views of the last round."
            )

    @property
    @abstractmethod
    def network(self) -> Any:
        """The loaded network; its config knows how many `neighbours` every view looks at."""

    @abstractmethod
    def _check(self, latents: LatentViews) -> None:
        """Refuses latents that the network cannot decode, before any work."""

    @abstractmethod
    def _decoded(self, latents: LatentViews, depth: Float[Tensor, "V H W"] | None, runtime: Runtime) -> Views:
        """Views by this depth; plainly without any."""

    def __call__(self, latents: LatentViews, *, runtime: Runtime) -> Views:
        """Colours and coverage of every view.

        Raises:
            StageMismatch: latents of another family or size, too few views, views out of ring order, or cameras that
                do not suit the way the weights use the photo.
            BadInput: the depth is of another size, NaN or not positive.
        """
        self._check(latents)
        if len(latents) == 1:
            return self._decoded(latents, None, runtime)
        check_ring(latents.cameras)
        ring_sources(len(latents), self.network.config.neighbours)  # refuses too few views
        views = self._by_depth(latents, self.depth(latents, runtime=runtime), runtime)
        for _ in range(1, self.rounds):
            assert isinstance(self.depth, CoarseDepth)
            views = self._by_depth(latents, self.depth.shown_by(views, latents, runtime=runtime), runtime)
        return views

    def _by_depth(self, latents: LatentViews, depth: Float[Tensor, "V H W"], runtime: Runtime) -> Views:
        runtime.done_with(self.depth)
        check_depth_of(depth, latents.cameras)
        check_depth(depth)
        views = self._decoded(latents, depth, runtime)
        report_depth(depth, views, runtime.reporter)
        return views


def report_depth(depth: Float[Tensor, "V H W"], views: Views, reporter: Reporter) -> None:
    """Says at how many of the object's pixels the depth was known, and warns if that is little."""
    known = depth.isfinite()
    if not known.any():
        reporter.warn("No depth is known in any view: they are decoded without seeing each other.")
        return
    shown = views.alpha[:, 0] > 0.5
    share = float(known[shown].float().mean()) if shown.any() else 0.0
    reporter.note(f"Rough depth is known at {share:.0%} of the object's pixels.")
    if share < _LITTLE:
        reporter.warn(
            f"Rough depth is known at only {share:.0%} of the object's pixels; at the others views do not see each "
            "other. The rough reconstruction may have lost parts: try another one for --decode.depth."
        )


def check_depth_of(depth: Tensor, cameras: Cameras) -> None:
    """Refuses depth of other views or another size.

    Raises:
        BadInput: it is.
    """
    if depth.shape != (len(cameras), cameras.height, cameras.width):
        raise BadInput(
            f"The depth has the shape {tuple(depth.shape)}.\nExpected that of the views to be decoded: "
            f"{len(cameras)} views of {cameras.height} x {cameras.width} pixels, in the same order."
        )


def check_ring(cameras: Cameras) -> None:
    """Refuses views that do not go once round the object: slots of neighbours would mean something else for each.

    Raises:
        StageMismatch: they do not, in either direction.
    """
    azimuth, _ = cameras.azimuth_elevation_deg()
    steps = (azimuth.roll(-1) - azimuth).round(decimals=2) % 360
    turns = {round(float(turn.sum()) / 360) for turn in (steps, -steps % 360)}
    if 1 not in turns or (steps == 0).any():
        raise StageMismatch(
            f"The views stand at azimuths {[round(float(angle)) for angle in azimuth]} degrees.\n"
            "Expected them in ring order, once round the object in steps of one direction. Sort the generator's views."
        )


def check_latents(latents: LatentViews, stage: DepthGuidedDecoder, factor: int) -> None:
    """Refuses latents of another family or another number of channels, or of another size than their cameras see.

    Args:
        latents: to be decoded.
        stage: which is to decode them.
        factor: pixels per latent, along each side.

    Raises:
        StageMismatch: they are.
    """
    found, channels = (latents.latent_space, latents.latents.shape[1]), stage.network.config.latent_channels
    if found != (stage.latent_space, channels):
        raise StageMismatch(
            f"The latents are of the family '{found[0]}' with {found[1]} channels, but {stage.weights} decodes "
            f"'{stage.latent_space}' with {channels}.\nSet --decode.weights to match."
        )
    size = tuple(factor * side for side in latents.latents.shape[2:])
    if size != (latents.cameras.height, latents.cameras.width):
        raise StageMismatch(
            f"The latents decode to {size[0]} x {size[1]} pixels, but their cameras see {latents.cameras.height} x "
            f"{latents.cameras.width}.\nThe generator and --decode.weights have different factors; change one."
        )
