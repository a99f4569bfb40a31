"""Noise schedules as diffusers stores them beside the weights."""

from pathlib import Path

from epimesh.diffusion.schedules import NoiseSchedule, Prediction
from epimesh.errors import BadWeights
from epimesh.weights.loading import AGAIN

_PREDICTIONS: dict[str, Prediction] = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}


def load_schedule(folder: Path) -> tuple[NoiseSchedule, Prediction]:
    """The noise of every time, and what the network predicts.

    Raises:
        BadWeights: there is no usable file, or it describes another kind of schedule.
    """
    from diffusers import DDIMScheduler

    try:
        config = DDIMScheduler.load_config(folder)
        kind, predicted = config["beta_schedule"], config["prediction_type"]
        schedule = NoiseSchedule.scaled_linear(
            int(config["num_train_timesteps"]),
            first=float(config["beta_start"]),
            last=float(config["beta_end"]),
            ends_clean=bool(config["set_alpha_to_one"]),
        )
    except (OSError, KeyError, ValueError) as error:
        raise BadWeights(f"{folder} has no usable scheduler_config.json ({type(error).__name__}).\n{AGAIN}") from error
    if kind != "scaled_linear" or predicted not in _PREDICTIONS:
        raise BadWeights(
            f"{folder} has the schedule '{kind}' and predicts '{predicted}'.\n"
            f"Expected 'scaled_linear' and one of {', '.join(_PREDICTIONS)}. {AGAIN}"
        )
    return schedule, _PREDICTIONS[predicted]


def load_eps_schedule(folder: Path) -> NoiseSchedule:
    """The schedule of a published model, all of which predict the noise.

    Raises:
        BadWeights: there is none, or not one of these models.
    """
    schedule, prediction = load_schedule(folder)
    if prediction != "eps":
        raise BadWeights(f"{folder} predicts '{prediction}', but published models predict 'eps'.\n{AGAIN}")
    return schedule
