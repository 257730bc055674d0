"""Each of torch's settings that lets float32 be multiplied in less is seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from torch_synflow._torch.precision import float32_is_precise

BACKENDS: Any = torch.backends
NEW = hasattr(BACKENDS, "fp32_precision")
WHERE = "see torch_synflow/_torch/precision.py"


@pytest.fixture
def settings() -> Iterator[None]:
    """Puts torch's settings back."""
    if NEW:
        before = {backend: backend.matmul.fp32_precision for backend in (BACKENDS.cuda, BACKENDS.mkldnn)}
        yield
        for backend, setting in before.items():
            backend.matmul.fp32_precision = setting
    else:
        setting = torch.get_float32_matmul_precision()
        yield
        torch.set_float32_matmul_precision(setting)


@pytest.mark.usefixtures("settings")
def test_torch_is_precise_as_it_comes() -> None:
    assert float32_is_precise(), f"torch multiplies float32 in less by default now, or says so otherwise; {WHERE}"


@pytest.mark.skipif(NEW, reason="torch 2.9 has settings for each device")
@pytest.mark.parametrize("setting", ["high", "medium"])
@pytest.mark.usefixtures("settings")
def test_the_one_setting_is_seen(setting: str) -> None:
    torch.set_float32_matmul_precision(setting)
    assert not float32_is_precise(), f"torch.set_float32_matmul_precision({setting!r}) is not seen; {WHERE}"


@pytest.mark.skipif(not NEW, reason="torch 2.9 has settings for each device")
@pytest.mark.parametrize(("device", "setting"), [("cuda", "tf32"), ("mkldnn", "tf32"), ("mkldnn", "bf16")])
@pytest.mark.usefixtures("settings")
def test_the_setting_of_a_device_is_seen(device: str, setting: str) -> None:
    getattr(BACKENDS, device).matmul.fp32_precision = setting
    assert not float32_is_precise(), f"torch.backends.{device}.matmul.fp32_precision = {setting!r} is not seen; {WHERE}"


@pytest.mark.skipif(not NEW, reason="torch 2.9 has settings for each device")
@pytest.mark.usefixtures("settings")
def test_the_setting_of_all_devices_is_seen() -> None:
    for backend in (BACKENDS.cuda, BACKENDS.mkldnn):
        backend.matmul.fp32_precision = "none"  # what a test before this one may have set has precedence
    before = BACKENDS.fp32_precision
    try:
        BACKENDS.fp32_precision = "tf32"
        assert not float32_is_precise(), f"torch.backends.fp32_precision is not seen; {WHERE}"
    finally:
        BACKENDS.fp32_precision = before
