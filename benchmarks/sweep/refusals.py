"""Options without an effect are refused, so that nobody waits for a sweep that they did not mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.sweep.choice import Choice
from benchmarks.sweep.methods import METHODS
from benchmarks.sweep.options import CHOICES
from benchmarks.sweep.trial import Trial

Trials = Callable[[Choice], Sequence[Trial]]


def refuse_without_effect(figure: str, trials_of: Trials, choice: Choice, given: dict[str, Any]) -> None:
    """Raise for an option that has no effect on this figure's trials, because another value gives the same trials."""
    names = {trial.name for trial in trials_of(choice)}
    if not names:
        raise ValueError(f"{figure}: no trial is left: --methods or --measure leave out all that it shows")
    elsewhere = "digits/vgg_small" if choice.pair == ("digits/resnet_small",) else "digits/resnet_small"
    others = {
        "pair": (elsewhere,), "methods": tuple(METHODS), "densities": (0.123,),
        "measure": None, "seeds": (choice.seeds or 0) + 1,
    }  # fmt: skip
    for key in ("pair", "seeds", "methods", "densities", "iterations", "examples", "measure", "epochs_scale"):
        flag = "log10_compressions" if key == "densities" and "densities" not in given else key
        if flag not in given:
            continue
        value: Any = others[key] if key in others else getattr(choice, key) * 3 + 1
        if key == "methods" and set(choice.methods or ()) == set(METHODS):
            value = tuple(METHODS)[:1]
        _refuse(figure, trials_of(replace(choice, **{key: value})), names, flag.replace("_", "-"))
        several = getattr(choice, key) if key in ("methods", "densities") else ()
        for one, typed in zip(several, given[flag] if several else (), strict=True):
            rest: Any = tuple(other for other in several if other != one)
            if rest:
                name = f"{typed:g}" if key == "densities" else typed
                _refuse(figure, trials_of(replace(choice, **{key: rest})), names, f"{flag.replace('_', '-')} {name}")
    for key, value in choice.recipe.items():
        other: Any = (1.5,) if isinstance(value, tuple) else value * 3 + 1 if not isinstance(value, str) else None
        if isinstance(value, bool):
            other = not value
        if other is None:
            other = next(option for option in CHOICES[key] if option != value)
        _refuse(figure, trials_of(replace(choice, recipe={**choice.recipe, key: other})), names, key.replace("_", "-"))


def _refuse(figure: str, others: Sequence[Trial], names: set[str], flag: str) -> None:
    if {trial.name for trial in others} == names:
        raise ValueError(f"--{flag}: has no effect on {figure} with these options; leave it out")
