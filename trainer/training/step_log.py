"""Tells the log what the Hugging Face trainers measure as they go; imports transformers."""

from typing import Any

from transformers import TrainerCallback

from services.common import logs

log = logs.get(__name__)


class StepLog(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """One line each time that losses are logged, in the main process."""

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """See transformers.TrainerCallback."""
        values = kwargs.get("logs") or {}
        if state.is_world_process_zero:
            shown = {
                name: float(f"{value:.4g}")
                for name, value in values.items()
                if "loss" in name or name == "learning_rate"
            }
            log.info("step", step=state.global_step, of=state.max_steps, **shown)
