"""Theorem 2 at every cut, and what is no cut."""

from __future__ import annotations

import pytest

from tests.cases import MODELS
from tests.diagnostics.theorems.saliencies import SALIENCIES, saliency, with_offsets
from torch_synflow import diagnostics
from torch_synflow.diagnostics.theorems.conservation import Conservation


@pytest.mark.parametrize("name", SALIENCIES)
def test_theorem_2_at_every_cut_of_a_residual_network(name: str) -> None:
    case = next(case for case in MODELS if case.name == "residual")
    found = diagnostics.conservation(with_offsets(case), case.inputs(), **saliency(name, case))
    for cut in (["stem"], ["conv1", "shortcut.0"], ["conv2.weight", "shortcut.0.weight"], ["head"]):
        at = found.cut(cut)
        assert at.error < 1e-9
        assert at.output == found.output
        assert abs(at.biases) > 1e-9


def residual() -> Conservation:
    case = next(case for case in MODELS if case.name == "residual")
    return diagnostics.conservation(case.build(), case.inputs())


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["conv1"], "expected a cut, but a path from input to output avoids conv1"),
        (
            ["conv1", "conv2", "shortcut.0"],
            "expected a cut that no path crosses twice; conv1 is on a path with another layer",
        ),
        (["stem", "head"], "expected a cut that no path crosses twice; stem"),
        (
            ["bn"],
            r"expected names of linear and convolution modules that the model calls, got 'bn'; it calls stem, conv1",
        ),
    ],
)
def test_what_is_no_cut_is_refused(layers: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"layers: {message}"):
        residual().cut(layers)
