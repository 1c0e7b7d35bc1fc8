"""The part of an exchange that vLLM's reload leaves out, on layers that pack like its own."""

import ctypes
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.common.inference.worker import WorkerParts, return_freed_memory

AMX_PERMISSION = """
import ctypes
from services.common.inference.worker import allow_amx
allowed, granted = allow_amx(), ctypes.c_uint64()
ctypes.CDLL(None).syscall(158, 0x1022, ctypes.byref(granted))  # arch_prctl(ARCH_GET_XCOMP_PERM)
print(allowed, bool(granted.value >> 18 & 1))  # bit 18: the tiles' data
"""


def make_model(*, tied: bool) -> Any:
    import torch

    class Packed(torch.nn.Module):
        """Computes with a copy of its weight, made when it is processed."""

        def __init__(self, weight: Any) -> None:
            super().__init__()
            self.weight = weight
            self.quant_method = SimpleNamespace(process_weights_after_loading=self.pack)
            self.packings = 0
            self.pack(self)

        def pack(self, layer: Any) -> None:
            copy = layer.weight.detach().clone()
            layer.cpu_linear = lambda x: x @ copy.T
            layer.packings += 1

    model = torch.nn.Module()
    model.embed = torch.nn.Embedding(3, 2)
    own = torch.nn.Parameter(torch.ones(3, 2))
    model.head = Packed(model.embed.weight if tied else own)
    model.other = Packed(torch.nn.Parameter(torch.ones(3, 2)))
    return model


class Worker(WorkerParts):
    """A worker whose reload changes parameters in place, and packs nothing."""

    def __init__(self, model: Any) -> None:
        self.model_runner = SimpleNamespace(get_model=lambda: model)
        self.model = model
        self.paths: list[str] = []

    def reload_weights(self, *, weights_path: str) -> None:
        self.paths.append(weights_path)
        self.model.embed.weight.data.fill_(7.0)


def test_a_tied_head_computes_with_the_new_weights() -> None:
    import torch

    model = make_model(tied=True)
    worker = Worker(model)
    worker.exchange_weights("new")
    assert worker.paths == ["new"]
    assert torch.equal(model.head.cpu_linear(torch.ones(1, 2)), torch.full((1, 3), 14.0))


def test_a_weight_that_two_layers_share_is_packed_once() -> None:
    import torch

    model = make_model(tied=True)
    model.other.weight = model.head.weight
    worker = Worker(model)
    reload = worker.reload_weights

    def packing(*, weights_path: str) -> None:
        reload(weights_path=weights_path)
        model.other.pack(model.other)

    worker.reload_weights = packing  # type: ignore[method-assign]  # it packs what it has loaded
    worker.exchange_weights("new")
    assert model.head.cpu_linear is model.other.cpu_linear
    assert (model.head.packings, model.other.packings) == (1, 2)
    assert torch.equal(model.head.cpu_linear(torch.ones(1, 2)), torch.full((1, 3), 14.0))


def test_layers_of_their_own_are_left_to_the_reload() -> None:
    model = make_model(tied=False)
    Worker(model).exchange_weights("new")
    assert (model.head.packings, model.other.packings) == (1, 1)


def test_freed_memory_between_what_is_in_use_goes_back_to_the_system() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = libc.memset.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    size, count = 64 * 1024, 1024
    chunks = [libc.memset(libc.malloc(size), 1, size) for _ in range(count)]
    full = anonymous_bytes()
    # The last one stays in use, at the end of the heap: so the allocator keeps all before it.
    for chunk in chunks[:-1]:
        libc.free(chunk)
    kept = anonymous_bytes()
    return_freed_memory()
    returned = anonymous_bytes()
    libc.free(chunks[-1])
    assert kept > full - size * count / 2
    assert returned < full - size * count * 0.9


def anonymous_bytes() -> int:
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel does not say")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="AMX is of x86-64 alone")
def test_a_processor_with_amx_is_asked_for_and_one_without_says_so() -> None:
    """In a process of its own: what is granted cannot be given back."""
    has = "amx_tile" in Path("/proc/cpuinfo").read_text()
    command = [sys.executable, "-c", AMX_PERMISSION]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert said.stdout.split() == [str(has), str(has)]
