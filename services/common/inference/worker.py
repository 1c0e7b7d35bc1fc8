"""What our services add to vLLM's worker, inside the engine's process."""

import ctypes
from collections import defaultdict
from typing import Any


class WorkerParts:
    """Mixed into vLLM's worker by name; vLLM finds it where the engine starts."""

    def prepare_cpu(self, samples: bool) -> None:
        """Make a worker that computes on a CPU ready for its first request.

        Args:
            samples: it draws tokens, which our own sampler does from here on.
        """
        allow_amx()
        if not samples:
            return
        from services.common.inference.cpu_sampler import CpuSampler
        from services.common.inference.seeded import SeededRows

        runner: Any = self.model_runner  # type: ignore[attr-defined]
        runner.sampler = CpuSampler(runner.sampler)
        runner.input_batch.generators = SeededRows()

    def exchange_weights(self, path: str) -> None:
        """Compute with the weights of another folder from here on.

        vLLM's own reload forgets a layer whose weight is another's: an output head tied to the
        embedding. Its parameter is the embedding's, so it has the new numbers; but on a CPU it
        computes with a packed copy, which is made when a layer's own weight is loaded, which this
        layer has none of.
        """
        worker: Any = self
        before = {layer: layer.cpu_linear for layer in self._packed()}
        worker.reload_weights(weights_path=path)
        stale = [layer for layer in self._packed() if layer.cpu_linear is before.get(layer)]
        fresh = {
            layer.weight.data_ptr(): layer.cpu_linear
            for layer in self._packed()
            if layer not in stale
        }
        for layer in stale:
            # The same weight has been packed for the embedding: a third of the exchange's time.
            if (packed := fresh.get(layer.weight.data_ptr())) is not None:
                layer.cpu_linear = packed
            else:
                layer.quant_method.process_weights_after_loading(layer)
        return_freed_memory()

    def _packed(self) -> list[Any]:
        """Layers that share their weight with another one and compute with a packed copy of it."""
        worker: Any = self
        return [one for one in _tied(worker.model_runner.get_model()) if hasattr(one, "cpu_linear")]


def allow_amx() -> bool:
    """Ask the kernel for AMX's registers in this process; whether it has them.

    vLLM's attention computes bfloat16 with them where the processor has them, and never asks: the
    first such instruction then ends the process (SIGILL). oneDNN asks, but only for products larger
    than those of a small model.
    """
    import torch

    return bool(torch.cpu._init_amx())  # noqa: SLF001 - torch has no public name for it


def return_freed_memory() -> None:
    """Give the system what the C allocator holds without using it.

    An exchange frees as much as the model takes. glibc keeps it in its arenas, between what is
    still in use, and the next exchange does not find all of it again. Other C libraries keep
    nothing, and have no such function.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _tied(model: Any) -> list[Any]:
    """Layers that share their weight with another one."""
    holders = defaultdict(list)
    for layer in model.modules():
        weight = layer._parameters.get("weight")  # noqa: SLF001 - torch offers no other way
        if weight is not None and weight.numel():
            holders[weight.data_ptr()].append(layer)
    return [layer for layers in holders.values() if len(layers) > 1 for layer in layers]
