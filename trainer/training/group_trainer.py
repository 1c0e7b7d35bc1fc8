"""Hugging Face's Trainer for groups of pairs; imports torch."""

from typing import Any

from transformers import Trainer

from trainer.training.groups import targets_of
from trainer.training.objectives import Objective


class GroupTrainer(Trainer):  # type: ignore[misc]  # transformers is not typed
    """Minimises the mean loss of the groups of an optimizer step, however they are shared out."""

    loss_is_scaled_for_ga = True

    def __init__(self, *args: Any, objective: Objective, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._objective = objective
        # Asks the Trainer to count the groups of a step over micro-batches and processes.
        self.model_accepts_loss_kwargs = True

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The loss of a micro-batch; see transformers.Trainer."""
        outputs = model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
        )
        logits = outputs.logits[:, 0].float()[inputs["member_row"]]
        losses = self._objective.losses(logits, targets_of(inputs))
        if num_items_in_batch is None:
            loss = losses.mean()
        else:
            # Gradients are averaged over the processes, the groups counted over all of them.
            loss = losses.sum() / num_items_in_batch * self.accelerator.num_processes
        return (loss, {"loss": loss}) if return_outputs else loss
