"""Conservation of scores: the theorems of Tanaka et al. 2020 in float64, and figures 3 and 4 in both modes."""

from __future__ import annotations

from functools import partial

from benchmarks.fidelity import theorems
from benchmarks.fidelity.collapse import TANAKA, VGG19, synflow_trial
from benchmarks.fidelity.row import Result, Row
from benchmarks.figures import layers
from benchmarks.sweep.methods import METHODS

SALIENCIES = ("synflow", "saliency")  # of functions of the outputs, which the theorems are about
#: scores that the paper calls closely related to synaptic saliency (section 4)
RELATED = ("snip_evaluation", "snip", "grasp_evaluation", "grasp")
NEAR = 0.1  # of the slope in figure 4, ours: the paper says no number


def apart(scores: Result) -> float:
    """The median difference of the sums into and out of a unit, in percent of the larger."""
    return layers.apart(zip(scores["into"], scores["out"], strict=True))


def slope(scores: Result) -> float:
    """The slope of the log average score of a layer against the log of one over its size."""
    return layers.slope(scores["layers"])


def _theorems() -> list[Row]:
    """Both theorems for what they are about, and how far GraSP's score is from it."""
    words = {"synflow": "SynFlow", "snip": "SNIP without its absolute value", "grasp": "w * Hg + g^2 (from GraSP)"}
    said = "greatest relative error at any {} of {}, in float64: {}, at initialisation and with offsets"
    rows = []
    for key, title in (("vgg19_bn", "VGG-19"), ("resnet18", "ResNet-18")):
        for saliency, word in words.items():
            for number, value in ((1, theorems.theorem_1), (2, theorems.theorem_2)):
                rows.append(
                    Row(name=f"theorem-{number}/{saliency}/{key}", source=f"{TANAKA}, theorem {number}", paper="0",
                        low=0, high=0, bound=1e-9, value=partial(value, key, saliency),
                        what=said.format(("neuron", "cut")[number - 1], word, title))
                )  # fmt: skip
        rows.append(
            Row(name=f"theorem-2/grasp-alone/{key}", source=f"{TANAKA}, section 4 (closely related)",
                paper="not exact", low=0, high=0, value=partial(theorems.grasp_alone, key),
                what=f"relative difference of GraSP's sums of w * Hg over the cuts, in float64: {title}",
                detail=lambda: "along g, SNIP's sums change by w * Hg + g^2: that is conserved, w * Hg alone is not")
        )  # fmt: skip
    return rows


def _figures() -> list[Row]:
    """Figures 3 and 4 have SNIP and GraSP in evaluation mode."""
    rows = []
    for name in (*SALIENCIES, *RELATED):
        word = f"{METHODS[name].title}, training mode" if name in ("snip", "grasp") else METHODS[name].title
        said, exact = f"{word}: VGG-19", name in SALIENCIES
        paper = "0" if exact else "not exact"
        rows.append(
            Row(name=f"units/{name.replace('_', '-')}/vgg19", paper=paper, low=0, high=0, value=apart,
                source=f"{TANAKA}, figure 3 and section 4", bound=0.01 if exact else None,
                what=f"% by which scores into and out of a hidden unit differ, in the median, {said}",
                trials=(synflow_trial("scores", VGG19, name),))
        )  # fmt: skip
        rows.append(
            Row(name=f"slope/{name.replace('_', '-')}/vgg19", paper="1", low=1, high=1, value=slope,
                source=f"{TANAKA}, figure 4 and section 4", bound=None if name in ("snip", "grasp") else NEAR,
                what=f"slope of log average score over log 1 / size of a layer, {said}",
                trials=(synflow_trial("scores", VGG19, name),))
        )  # fmt: skip
    return sorted(rows, key=lambda row: row.name.startswith("slope"))


def conservation() -> list[Row]:
    """All of them."""
    return [*_theorems(), *_figures()]
