"""The state of the process that a call must restore: torch's modes and levels, signals, threads and warnings."""

from __future__ import annotations

import random
import signal
import sys
import threading
import warnings
from typing import Any, cast

import torch


def process_state() -> dict[str, Any]:
    """The state of the process that could affect later code, comparable with ``==``."""
    return {
        "torch function modes": torch._C._len_torch_function_stack(),
        "torch dispatch modes": torch._C._len_torch_dispatch_stack(),
        "functorch levels": len(torch._C._functorch.get_interpreter_stack() or ()),
        "torch function enabled": torch._C._is_torch_function_enabled(),
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "autocast": (*_autocast(), torch.is_autocast_cache_enabled()),
        "anomaly mode": torch.is_anomaly_enabled(),
        "multithreaded backward": torch.autograd.is_multithreading_enabled(),
        "default dtype": torch.get_default_dtype(),
        "threads of torch": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "backends": (torch.backends.mkldnn.enabled, torch.backends.cudnn.benchmark),
        "threads": threading.active_count(),
        "handler of SIGINT": signal.getsignal(signal.SIGINT),
        "filters of warnings": list(warnings.filters),
        "profile and trace": (sys.getprofile(), sys.gettrace()),
        "Python's random state": random.getstate(),
    }


def put_back(state: dict[str, Any]) -> None:
    """Undo changes that a call has left in the process, as far as torch has a function for it."""
    while torch._C._len_torch_function_stack() > state["torch function modes"]:
        torch._C._pop_torch_function_stack()
    while torch._C._len_torch_dispatch_stack() > state["torch dispatch modes"]:
        torch._C._pop_torch_dispatch_stack(None)
    while len(torch._C._functorch.get_interpreter_stack() or ()) > state["functorch levels"]:
        torch._C._functorch.pop_dynamic_layer_stack()
    torch.set_grad_enabled(state["grad mode"])
    if _autocast()[0] != state["autocast"][0]:
        torch.set_autocast_enabled("cpu", state["autocast"][0])
    cast("list[Any]", warnings.filters)[:] = state["filters of warnings"]
    random.setstate(state["Python's random state"])
    if sys.getprofile() is not state["profile and trace"][0]:
        sys.setprofile(state["profile and trace"][0])


def _autocast() -> tuple[bool, bool]:
    """Whether autocast is on, on CPUs and on GPUs."""
    return torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")
