"""TRL's trainer for the policy; imports torch."""

from trl import SFTTrainer


class SolutionTrainer(SFTTrainer):  # type: ignore[misc]  # trl is not typed
    """Supervised fine-tuning that reports to nobody unasked."""

    def _send_telemetry(self) -> None:
        """TRL would tell its makers of every run."""
