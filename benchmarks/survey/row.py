"""One line of the survey: what happens when a network is scored and pruned."""

from __future__ import annotations

import copy
import logging
import re
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.survey.network import SurveyedNetwork
from torch_synflow import diagnostics, prune
from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.model.masks import entries_of

#: what is pruned, and in how many iterations
AMOUNT, ITERATIONS = 0.9, 100


class _Log(logging.Handler):
    """Keeps the messages of the package."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def measure(subject: SurveyedNetwork, iterations: int = ITERATIONS) -> dict[str, Any]:
    """One line of the table; what fails stands in it as the error's text."""
    torch.manual_seed(0)
    start = time.perf_counter()
    row: dict[str, Any] = {"library": subject.library, "family": subject.family, "model": subject.name}
    row["iterations"] = iterations
    if isinstance(example := subject.inputs(1), torch.Tensor):
        row["input"] = list(example.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = subject.build().eval()
        weights = {parameter for parameter in model.parameters() if parameter.dim() > 1}
        row["weights"] = sum(weight.numel() for weight in weights)
        try:
            row["listed"] = sum(entry.total for entry in entries_of(model)) / max(row["weights"], 1)
        except ValueError as error:
            return {**row, "error": str(error)}
    for part in (_scores, _pruned, _by_data):
        row.update(part(subject, model, iterations))
    return {**row, "seconds": round(time.perf_counter() - start, 1)}


def _tried(name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return work()
    except Exception as error:  # of any kind: the table is to say it
        return {name: f"{type(error).__name__}: {str(error).strip().splitlines()[0][:400]}"}


def _scores(subject: SurveyedNetwork, model: nn.Module, iterations: int) -> dict[str, Any]:
    """Finite, positive where a path leads, conserved, recorded."""
    log = logging.getLogger("torch_synflow")
    handler, level = _Log(), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)

    def work() -> dict[str, Any]:
        inputs = subject.inputs(1)
        without = copy.deepcopy(model)
        with torch.no_grad():  # biases start flow of their own
            for key, parameter in without.named_parameters():
                if "bias" in key.rpartition(".")[2]:
                    parameter.zero_()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            scores = prune.SynFlow.scores(without, example_inputs=inputs, outputs=subject.outputs)
        totals = [float(score.sum()) for score in scores.values()]
        said = [str(w.message) for w in caught if "SynFlow" in str(w.message)]
        return {
            "scores": "positive" if min(totals) > 0 else f"{sum(not t for t in totals)} of {len(totals)} zero",
            "greatest / last": round(max(totals) / totals[-1], 4) if totals[-1] else None,
            "said": re.sub(r"\s+", " ", " | ".join(said))[:600],
        }

    try:
        found = _tried("scores", work)
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
    fallback = [m.partition(": ")[2] for m in handler.messages if "own code in each iteration" in m]
    return {**found, "recorded": fallback[0] if fallback else "yes"}


def _pruned(subject: SurveyedNetwork, model: nn.Module, iterations: int) -> dict[str, Any]:
    """Layers emptied at 0.9, plain and balanced, and whether every input and output is still on a path."""
    row: dict[str, Any] = {}
    for name, method in (("plain", prune.SynFlow), ("balanced", prune.BalancedSynFlow)):

        def work(name: str = name, method: type[prune.SynFlow] = method) -> dict[str, Any]:
            pruned, inputs = copy.deepcopy(model), subject.inputs(1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                report = prune.global_iterative_unstructured(
                    pruned, method, AMOUNT, example_inputs=inputs, iterations=iterations, outputs=subject.outputs
                )
                found = diagnostics.trainability(pruned, inputs, outputs=subject.outputs)
            return {name: len(report.empty_layers), f"{name} paths": found.verdict.partition(";")[0]}

        row.update(_tried(name, work))
    return row


def _by_data(subject: SurveyedNetwork, model: nn.Module, iterations: int) -> dict[str, Any]:
    """SNIP and GraSP."""
    row: dict[str, Any] = {}
    for name, method in (("SNIP", prune.SNIP), ("GraSP", prune.GraSP)):

        def work(name: str = name, method: type[SaliencyUnstructured] = method) -> dict[str, Any]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                data = (subject.inputs(2), torch.zeros(2)) if subject.data is None else subject.data()
                method.scores(model, data=data, loss_fn=subject.loss_fn)
            return {name: "yes"}

        row.update(_tried(name, work))
    return row
