"""Finds an object in front of a plain background without any network: colour mixtures and graph cuts.

Source:
    Rother et al., "GrabCut: Interactive Foreground Extraction using Iterated Graph Cuts" (SIGGRAPH 2004), here started
    from the border of the photo instead of a drawn rectangle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

WORKING_SIDE = 240  # pixels; graph cuts are slow, and the edge is refined on the full picture afterwards
_ROUNDS = 4
_COLOURS = 5  # per mixture
_SMOOTHNESS = 25.0  # weight of a cut between equal neighbours, against differences of log probabilities
_BORDER_SHARE = 0.02  # width of the frame that is taken for background
_CAPACITY_SCALE = 1000.0  # graph cuts want whole numbers


@dataclass(frozen=True)
class ColourMixture:
    """A mixture of Gaussians over colours.

    Args:
        means: one row per component.
        precisions: inverse covariances.
        log_weights: log of each component's share, minus half its log determinant.
    """

    means: Float[np.ndarray, "K 3"]
    precisions: Float[np.ndarray, "K 3 3"]
    log_weights: Float[np.ndarray, "K"]

    @classmethod
    def fitted(cls, colours: Float[np.ndarray, "N 3"]) -> "ColourMixture":
        """The mixture of a set of colours, by k-means and one Gaussian per cluster."""
        from scipy.cluster.vq import kmeans2

        random = np.random.default_rng(0)
        count = min(_COLOURS, len(colours))
        apart = colours + random.normal(scale=1e-3, size=colours.shape)  # k-means wants no two equal colours
        _, labels = kmeans2(apart, count, minit="++", rng=random, missing="raise")
        parts = [colours[labels == label] for label in range(count) if (labels == label).sum() > 0]
        floor = np.eye(3) * 4e-4  # a plain background still varies by about two percent
        covariances = [np.cov(part.T, bias=True).reshape(3, 3) + floor for part in parts]
        shares = np.array([len(part) for part in parts]) / len(colours)
        determinants = np.array([np.linalg.slogdet(covariance)[1] for covariance in covariances])
        return cls(
            np.stack([part.mean(axis=0) for part in parts]),
            np.stack([np.linalg.inv(covariance) for covariance in covariances]),
            np.log(shares) - determinants / 2,
        )

    def surprise(self, colours: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N"]:
        """Minus the log probability density of each colour, up to a constant."""
        from scipy.special import logsumexp

        away = colours[:, None] - self.means
        squared = np.einsum("nki,kij,nkj->nk", away, self.precisions, away)
        return -logsumexp(self.log_weights - squared / 2, axis=1)


def object_on_plain_background(rgb: Float[Tensor, "3 H W"]) -> Float[Tensor, "H W"]:
    """1 where the object is, 0 where the background is, with edges as coarse as `WORKING_SIDE` pixels."""
    scale = WORKING_SIDE / max(rgb.shape[1:])
    size = [max(8, round(side * scale)) for side in rgb.shape[1:]]
    small = torch.nn.functional.interpolate(rgb[None], size, mode="bilinear", antialias=True)[0]
    mask = _iterated_cuts(small.permute(1, 2, 0).double().numpy())
    coarse = torch.from_numpy(mask.astype(np.float32))[None, None]
    return torch.nn.functional.interpolate(coarse, rgb.shape[1:], mode="bilinear")[0, 0]


def _iterated_cuts(image: Float[np.ndarray, "H W 3"]) -> Bool[np.ndarray, "H W"]:
    height, width = image.shape[:2]
    colours = image.reshape(-1, 3)
    border = _border(height, width)
    background = ColourMixture.fitted(colours[border.ravel()])
    inside = _first_guess(background.surprise(colours).reshape(height, width), border)
    links = _links(image)
    for _ in range(_ROUNDS):
        if inside.sum() < 10 or (~inside).sum() < 10:
            break
        foreground = ColourMixture.fitted(colours[inside.ravel()])
        background = ColourMixture.fitted(colours[~inside.ravel()])
        evidence = background.surprise(colours) - foreground.surprise(colours)
        evidence = evidence.reshape(height, width).clip(-20, 20) + _towards_the_middle(height, width)
        before, inside = inside, _minimum_cut(np.where(border, evidence - 20, evidence), links)
        if (before == inside).all():
            break
    return inside


def _border(height: int, width: int) -> Bool[np.ndarray, "H W"]:
    band = max(2, round(_BORDER_SHARE * max(height, width)))
    border = np.ones((height, width), dtype=bool)
    border[band:-band, band:-band] = False
    return border


def _first_guess(surprise: Float[np.ndarray, "H W"], border: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """Pixels that the border's colours explain badly: more surprising than nearly all of the border itself."""
    usual = np.quantile(surprise[border], 0.9) + 2.0
    guess = (surprise > usual) & ~border
    if guess.mean() < 0.02:  # an object in the background's own colours: start from the middle
        guess = _towards_the_middle(*surprise.shape) > 0.5
    return guess


def _towards_the_middle(height: int, width: int) -> Float[np.ndarray, "H W"]:
    """A mild belief that objects are in the middle of photos: +1 in the centre, -1 in the corners."""
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return 1 - np.hypot(rows, columns) * np.sqrt(2)


@dataclass(frozen=True)
class _Links:
    """Neighbouring pixels (indices into the flattened image) and the price of cutting between them."""

    first: np.ndarray
    second: np.ndarray
    price: np.ndarray


def _links(image: Float[np.ndarray, "H W 3"]) -> _Links:
    height, width = image.shape[:2]
    index = np.arange(height * width).reshape(height, width)
    steps = [(index[:, :-1], index[:, 1:], 1.0), (index[:-1], index[1:], 1.0)]
    steps += [(index[:-1, :-1], index[1:, 1:], 2**0.5), (index[:-1, 1:], index[1:, :-1], 2**0.5)]
    colours = image.reshape(-1, 3)
    squared = [((colours[a] - colours[b]) ** 2).sum(-1) for a, b, _ in steps]
    typical = max(np.mean(np.concatenate([values.ravel() for values in squared])), 1e-6)
    pairs = zip(steps, squared, strict=True)
    price = [_SMOOTHNESS * np.exp(-values / (2 * typical)) / length for (_, _, length), values in pairs]
    return _Links(_joined([a for a, _, _ in steps]), _joined([b for _, b, _ in steps]), _joined(price))


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([part.ravel() for part in parts])


def _minimum_cut(evidence: Float[np.ndarray, "H W"], links: _Links) -> Bool[np.ndarray, "H W"]:
    """The mask that agrees best with the evidence (positive: object) and cuts few and cheap links."""
    from scipy.sparse import coo_array, csr_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    count = evidence.size
    source, sink = count, count + 1
    flat = evidence.ravel()
    wanted, unwanted = np.flatnonzero(flat > 0), np.flatnonzero(flat < 0)
    start = np.concatenate([links.first, links.second, np.full(len(wanted), source), unwanted])
    end = np.concatenate([links.second, links.first, wanted, np.full(len(unwanted), sink)])
    price = np.concatenate([links.price, links.price, flat[wanted], -flat[unwanted]])
    capacity = (price * _CAPACITY_SCALE).round().astype(np.int32)
    graph = csr_array(coo_array((capacity, (start, end)), shape=(count + 2, count + 2)))
    residual = graph - maximum_flow(graph, source, sink).flow
    residual.data = np.maximum(residual.data, 0)
    residual.eliminate_zeros()
    reached = breadth_first_order(residual, source, return_predecessors=False)
    inside = np.zeros(count + 2, dtype=bool)
    inside[reached] = True
    return inside[:count].reshape(evidence.shape)
