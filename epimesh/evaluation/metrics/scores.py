"""What is noted about one answer to one object."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scores:
    """One answer to one object: of the generator with one seed, or of a baseline. None: not measured.

    Args:
        object: its id.
        method: "generator" or the name of a baseline.
        seed: of the generator.
        failure: what went wrong, if anything.
        seconds: from photo to decoded views, and to the mesh where one is made.
        scale: of the object in the frame.
        psnr: mean over all views, in dB.
        novel_psnr: the same without the view that repeats the photo's own camera.
        object_psnr: within the true silhouettes.
        ssim: mean over all views.
        silhouette_iou: mean over all views.
        sharpness: gradient energy relative to the truth.
        volume_iou: None too where the truth is no closed solid that fills at least half of its silhouettes' hull.
        chamfer_visible: of what the 16 ring cameras see.
        chamfer_surface: all over the surfaces.
        f_score: at the protocol's threshold.
        warp_psnr: how well neighbouring views agree by true depth, in dB; see `evaluation.consistency`.
        own_warp_psnr: the same by the depth of the surface that was reconstructed from them.
        matches: features shared by two neighbouring views, per pair.
        reprojection_px: how far true depth carries such a feature from its match, median in pixels.
        rerender_psnr: of the views against the reconstructed surface seen from their cameras, in dB.
        textured_psnr: of the textured mesh seen from the cameras against the true views, in dB; error budgets only.
        mask_iou: of the photo's mask where it is not given; error budgets only.
        photo: which view of the object was the photo, where that varies.
        note: why a number is missing though nothing failed.
    """

    object: str
    method: str
    seed: int | None = None
    failure: str | None = None
    seconds: float | None = None
    scale: float | None = None
    psnr: float | None = None
    novel_psnr: float | None = None
    object_psnr: float | None = None
    ssim: float | None = None
    silhouette_iou: float | None = None
    sharpness: float | None = None
    volume_iou: float | None = None
    chamfer_visible: float | None = None
    chamfer_surface: float | None = None
    f_score: float | None = None
    warp_psnr: float | None = None
    own_warp_psnr: float | None = None
    matches: float | None = None
    reprojection_px: float | None = None
    rerender_psnr: float | None = None
    textured_psnr: float | None = None
    mask_iou: float | None = None
    photo: int | None = None
    note: str | None = None
