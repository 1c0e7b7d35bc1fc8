"""What our services add to vLLM's worker, inside the engine's process."""

from collections import defaultdict
from typing import Any


class WeightsExchange:
    """Mixed into vLLM's worker by name; vLLM finds it where the engine starts."""

    def exchange_weights(self, path: str) -> None:
        """Compute with the weights of another folder from here on.

        vLLM's own reload forgets a layer whose weight is another's: an output head tied to the
        embedding. Its parameter is the embedding's, so it has the new numbers; but on a CPU it
        computes with a packed copy, which is made when a layer's own weight is loaded, which this
        layer has none of.
        """
        worker: Any = self
        worker.reload_weights(weights_path=path)
        for layer in _tied(worker.model_runner.get_model()):
            if hasattr(layer, "cpu_linear"):
                layer.quant_method.process_weights_after_loading(layer)


def _tied(model: Any) -> list[Any]:
    """Layers that share their weight with another one."""
    holders = defaultdict(list)
    for layer in model.modules():
        weight = layer._parameters.get("weight")  # noqa: SLF001 - torch offers no other way
        if weight is not None and weight.numel():
            holders[weight.data_ptr()].append(layer)
    return [layer for layers in holders.values() if len(layers) > 1 for layer in layers]
