"""TRL's trainer for the policy; imports torch."""

from typing import Any

from torch.nn.functional import cross_entropy
from trl import SFTTrainer

from trainer.training.tokens import IGNORED


class SolutionTrainer(SFTTrainer):  # type: ignore[misc]  # trl is not typed
    """Supervised fine-tuning that reports to nobody unasked and knows peft's trained tokens.

    TRL's loss reads the weight of the language head past the rows that peft trains beside it. For
    such a model the head is called as a module, at the positions where a token is learnt.
    """

    def __init__(self, *args: Any, trains_tokens: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._trains_tokens = trains_tokens

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The loss of a micro-batch; see transformers.Trainer."""
        if not self._trains_tokens:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        following = inputs["labels"][:, 1:]
        learnt = (following != IGNORED).any(dim=0).nonzero()[:, 0]
        outputs = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            logits_to_keep=learnt,
            use_cache=False,
        )
        logits, goals = outputs.logits.float().flatten(0, 1), following[:, learnt].flatten()
        total = cross_entropy(logits, goals, ignore_index=IGNORED, reduction="sum")
        known = goals != IGNORED
        accuracy = (logits.detach().argmax(dim=1) == goals)[known].float().mean().item()
        mode = "train" if self.model.training else "eval"
        self._metrics[mode]["mean_token_accuracy"].append(accuracy)
        if num_items_in_batch is None:
            loss = total / known.sum()
        else:
            # Gradients are averaged over the processes, the tokens counted over all of them.
            loss = total / num_items_in_batch * self.accelerator.num_processes
        return (loss, {"loss": loss}) if return_outputs else loss

    def _send_telemetry(self) -> None:
        """TRL would tell its makers of every run."""
