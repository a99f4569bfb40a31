"""A trainer that says nothing, for trainings of a few steps."""

import pytorch_lightning


def trainer(steps: int, callbacks: list[pytorch_lightning.Callback] | None = None) -> pytorch_lightning.Trainer:
    silent = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pytorch_lightning.Trainer(
        max_steps=steps, accelerator="cpu", enable_checkpointing=False, callbacks=callbacks, **silent
    )
