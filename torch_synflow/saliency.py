"""What every scored method shares: the ranking, the binding to a model, and the refusals."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod

from torch_synflow.data import rereadable
from torch_synflow.parameters import Entry, Pair, prunable_parameters, resolve, unwrap
from torch_synflow.schedules import Schedule, exponential
from torch_synflow.scoring import LossFunction, Network, Task, Weights, network
from torch_synflow.selection import keep_highest
from torch_synflow.transaction import all_or_nothing

Method = TypeVar("Method", bound="SaliencyUnstructured")


class Scores(Tensor):
    """A tensor marked as scores, higher meaning keep: what an unbound method may rank.

    torch's ``global_unstructured`` hands a method the raw weights when it is given no scores. Nothing in a
    tensor of numbers tells the two apart, so the ``*_scores`` functions mark what they return, and the mark
    stays through copies, moves, slices and concatenations with other scores. Mark scores of your own with
    ``tensor.as_subclass(Scores)``.

    Example:
        >>> scores = torch.tensor([0.5, 2.0]).as_subclass(Scores)
        >>> type(scores[:1]).__name__, type(torch.cat([scores, torch.ones(2)])).__name__
        ('Scores', 'Tensor')
    """

    _KEEP: ClassVar[frozenset[Any]] = frozenset(
        {
            torch.cat, torch.clone, torch.Tensor.__deepcopy__, torch.Tensor.__getitem__, torch.Tensor.clone,
            torch.Tensor.cpu, torch.Tensor.cuda, torch.Tensor.detach, torch.Tensor.flatten,
            torch.Tensor.reshape, torch.Tensor.to, torch.Tensor.view, torch.Tensor.view_as,
        }
    )  # fmt: skip

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run ``func``; mark the result again only where ``func`` copies or moves nothing but scores."""
        parts = args[0] if func is torch.cat else args[:1]
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **(kwargs or {}))
            if func in cls._KEEP and all(isinstance(part, Scores) for part in parts):
                result = result.as_subclass(cls)
        return result


class SaliencyUnstructured(BasePruningMethod):
    """A pruning method that ranks scores: of a model it is bound to, or that it is handed.

    A subclass gives :meth:`saliency` and its defaults; masks, ties, rounding, binding and errors are here.

    Args:
        amount: what to remove, as in torch: a float between 0 and 1 is the fraction of the entries not yet
            pruned, an int their number.

    Raises:
        TypeError, ValueError: if ``amount`` is neither.
    """

    PRUNING_TYPE: ClassVar[str] = "unstructured"

    #: default number of iterations of ``global_iterative_unstructured``
    iterations: ClassVar[int] = 1
    #: default schedule of ``global_iterative_unstructured``
    schedule: ClassVar[Schedule] = staticmethod(exponential)
    #: whether the model is scored in training mode
    training: ClassVar[bool] = True
    #: the least precision of the scores
    dtype: ClassVar[torch.dtype] = torch.float32
    #: the arguments that scoring needs besides the model
    needs: ClassVar[tuple[str, ...]] = ("data", "loss_fn")

    _task: ClassVar[Task] = Task()
    _bound_parameters: ClassVar[Any] = None

    def __init__(self, amount: float) -> None:
        check_amount(amount)
        self.amount = amount

    @classmethod
    def saliency(cls, network: Network) -> Weights:
        """Score ``network.weights``: one tensor of the same shape for each name, higher meaning keep."""
        raise NotImplementedError(f"{cls.__name__} must define saliency(network)")

    @classmethod
    def bind(
        cls: type[Method],
        model: nn.Module,
        *,
        example_inputs: Any = None,
        data: Any = None,
        loss_fn: LossFunction | None = None,
        parameters: Any = None,
    ) -> type[Method]:
        """Make a class that carries its model, for callers that can pass only a class.

        Where torch's ``global_unstructured`` hands it raw weights, it finds the parameters that these are by
        their values and ranks the model's scores instead.

        Args:
            model: the model to score.
            example_inputs: what it is called with (SynFlow).
            data: a batch ``(inputs, targets)`` or an iterable of batches (SNIP, GraSP).
            loss_fn: ``loss_fn(outputs, targets)``, the mean over a batch (SNIP, GraSP).
            parameters: the ``(module, name)`` pairs that will be pruned, in their order. Needed only when the
                model has several parameters of the same values, such as BatchNorm's ones.

        Raises:
            TypeError, ValueError: if the method needs an argument that is missing.

        Example:
            >>> from torch_synflow import prune
            >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
            >>> bound = prune.SynFlow.bind(model, example_inputs=torch.rand(1, 4))
            >>> params = [(model[0], "weight"), (model[2], "weight")]
            >>> torch.nn.utils.prune.global_unstructured(params, bound, amount=0.5)
            >>> sum(int(m.weight_mask.sum()) for m, _ in params)
            24
        """
        pairs = None if parameters is None else list(parameters)
        task = cls.require(Task(model, example_inputs, data, loss_fn))
        return type(cls.__name__, (cls,), {"_task": task, "_bound_parameters": pairs, "__module__": cls.__module__})

    @classmethod
    def scores(
        cls,
        model: nn.Module,
        parameters: Any = None,
        *,
        example_inputs: Any = None,
        data: Any = None,
        loss_fn: LossFunction | None = None,
    ) -> dict[Pair, Tensor]:
        """Score parameters of a model, which is only read.

        Args:
            model: the model.
            parameters: ``(module, name)`` pairs; all prunable weights by default.
            example_inputs: what the model is called with (SynFlow).
            data: a batch ``(inputs, targets)`` or an iterable of batches (SNIP, GraSP).
            loss_fn: ``loss_fn(outputs, targets)``, the mean over a batch (SNIP, GraSP).

        Returns:
            For each pair a tensor of its parameter's shape, higher meaning keep, zero where already pruned.

        Raises:
            ValueError: if scores are not finite, or zero for a whole tensor of a model not yet pruned; the
                message names the tensor.
        """
        task = cls.require(Task(model, example_inputs, data, loss_fn))
        entries = resolve(prunable_parameters(model) if parameters is None else parameters, unwrap(model))
        scores = cls.score_entries(task, entries, [entry.mask for entry in entries])
        return {
            pair: score.as_subclass(Scores)
            for entry, score in zip(entries, scores, strict=True)
            for pair in entry.locations
        }

    @classmethod
    def score_entries(cls, task: Task, entries: Sequence[Entry], masks: Sequence[Tensor]) -> list[Tensor]:
        """Score checked entries under masks: the step of the loop that reads the model."""
        with network(task, entries, masks, training=cls.training, dtype=cls.dtype) as opened:
            saliency = cls.saliency(opened)
        scores = [saliency[entry.key].detach() for entry in entries]
        require_finite(entries, scores, f"{cls.__name__} scores")
        if all(bool(mask.all()) for mask in masks):
            _require_nonzero(entries, scores, cls.__name__)
        return scores

    @classmethod
    def require(cls, task: Task) -> Task:
        """Check that ``task`` has what the method needs; data that can be read once only is listed."""
        missing = [name for name in ("model", *cls.needs) if getattr(task, name) is None]
        if missing:
            raise ValueError(
                f"{cls.__name__} needs {' and '.join(missing)}, got none; for example {cls._call_that_works()}"
            )
        if not isinstance(task.model, nn.Module):
            raise TypeError(f"model: expected an nn.Module, got {type(task.model).__name__}")
        if "loss_fn" in cls.needs and not callable(task.loss_fn):
            raise TypeError(f"loss_fn: expected a function loss_fn(outputs, targets), got {task.loss_fn!r}")
        data = rereadable(task.data) if "data" in cls.needs else None
        return Task(task.model, task.example_inputs, data, task.loss_fn)

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Keep the highest scores of what ``default_mask`` has kept.

        Args:
            t: scores, or for a bound class the raw weights that torch hands over.
            default_mask: 0/1, the shape of ``t``.

        Raises:
            ValueError: if ``t`` is not marked as :class:`Scores` and the class is not bound to a model.
        """
        alive = default_mask.reshape(-1) != 0
        scores = (t if isinstance(t, Scores) else self._scores_of(t)).as_subclass(Tensor).reshape(-1)[alive]
        keep = scores.numel() - to_remove(self.amount, scores.numel())
        kept = torch.zeros_like(alive).masked_scatter(alive, keep_highest(scores, keep))
        return default_mask * kept.view(default_mask.shape)

    @classmethod
    def apply(  # type: ignore[override]
        cls, module: nn.Module, name: str, amount: float, importance_scores: Tensor | None = None
    ) -> BasePruningMethod:
        """Prune one parameter in one go, as torch's methods do; on an error nothing has changed.

        Args:
            module: holds the parameter.
            name: its name there.
            amount: what to remove of it.
            importance_scores: scores of its shape; by default those of the model that the class is bound to.

        Returns:
            The hook that was added.
        """
        (entry,) = resolve([(module, name)], None)
        check_amount(amount)
        if importance_scores is None:
            if cls._task.model is None:
                raise ValueError(cls._refusal())
            importance_scores = cls.scores(
                cls._task.model,
                [(module, name)],
                example_inputs=cls._task.example_inputs,
                data=cls._task.data,
                loss_fn=cls._task.loss_fn,
            )[module, name]
        if importance_scores.shape != entry.parameter.shape:
            raise ValueError(
                f"importance_scores: expected shape {tuple(entry.parameter.shape)}, that of {name}, "
                f"got {tuple(importance_scores.shape)}"
            )
        require_finite([entry], [importance_scores], "importance_scores")
        to_remove(amount, int(entry.mask.sum()))
        # the hook must pickle without the model, and the product must deepcopy: no gradient on it yet
        unbound = next(base for base in cls.__mro__ if "_task" not in vars(base) or base is SaliencyUnstructured)
        with all_or_nothing([module]), torch.inference_mode(False), torch.no_grad():
            return super(SaliencyUnstructured, unbound).apply(  # type: ignore[misc, no-any-return]
                module, name, amount, importance_scores=importance_scores.as_subclass(Scores)
            )

    @classmethod
    def _scores_of(cls, raw: Tensor) -> Tensor:
        """The scores of the bound model for the raw weights that torch concatenated."""
        model = cls._task.model
        if model is None:
            raise ValueError(cls._refusal())
        pairs = _parameters_of(raw, model, cls._bound_parameters)
        task = cls._task
        scores = cls.scores(model, pairs, example_inputs=task.example_inputs, data=task.data, loss_fn=task.loss_fn)
        return torch.cat([_survivors(pair, scores[pair]) for pair in pairs]).as_subclass(Scores)

    @classmethod
    def _refusal(cls) -> str:
        return (
            f"{cls.__name__} ranks scores, not weights, and it was given no scores and is bound to no model; pass "
            f"importance_scores from prune.{cls._short_name()}_scores (tensors of your own: "
            f"tensor.as_subclass(prune.Scores)), or use {cls._call_that_works()}"
        )

    @classmethod
    def _short_name(cls) -> str:
        return cls.__name__.removesuffix("Unstructured").lower()

    @classmethod
    def _call_that_works(cls) -> str:
        arguments = {
            "example_inputs": "example_inputs=x",
            "data": "data=loader",
            "loss_fn": "loss_fn=torch.nn.functional.cross_entropy",
        }
        passed = ", ".join(arguments[name] for name in cls.needs)
        return (
            f"prune.global_iterative_unstructured(params, prune.{cls.__name__.removesuffix('Unstructured')}, "
            f"amount, model=model, {passed})"
        )


def check_amount(amount: Any) -> None:
    """Raise unless ``amount`` is a fraction between 0 and 1 or a count."""
    if isinstance(amount, bool) or not isinstance(amount, numbers.Real):
        raise TypeError(f"amount: expected a float between 0 and 1 or an int, got {amount!r}")
    if isinstance(amount, numbers.Integral):
        if amount < 0:
            raise ValueError(f"amount: expected a count of at least 0, got {amount}")
    elif math.isnan(amount) or not 0.0 <= float(amount) <= 1.0:
        raise ValueError(
            f"amount: expected a float between 0 and 1 (a fraction of the entries not yet pruned), got {amount!r}; "
            "an int is a count of entries"
        )


def to_remove(amount: Any, alive: int) -> int:
    """How many of ``alive`` entries ``amount`` removes, rounded as torch rounds."""
    if not isinstance(amount, numbers.Integral):
        return round(float(amount) * alive)
    if int(amount) > alive:
        raise ValueError(f"amount: expected at most {alive}, the number of entries not yet pruned, got {amount}")
    return int(amount)


def require_finite(entries: Sequence[Entry], tensors: Sequence[Tensor], what: str) -> None:
    """Raise a ``ValueError`` that names the entries whose tensors hold NaN or infinity."""
    bad = [e.label for e, tensor in zip(entries, tensors, strict=True) if not bool(torch.isfinite(tensor).all())]
    if bad:
        raise ValueError(
            f"{bad[0]}: expected finite {what}, got NaN or infinity{_and_others(bad)}; look for NaN weights or "
            "data, and for activations that overflow (a wider dtype, or normalisation, keeps them finite)"
        )


def _require_nonzero(entries: Sequence[Entry], scores: Sequence[Tensor], method: str) -> None:
    dead = [e.label for e, score in zip(entries, scores, strict=True) if score.numel() and not bool(score.any())]
    if dead:
        raise ValueError(
            f"{dead[0]}: every one of its {method} scores is zero{_and_others(dead)}; expected an input-output path "
            "through it: it or a layer beside it is zero-initialised, saturated, or unused in this mode; "
            "leave such entries out or initialise them"
        )


def _and_others(labels: Sequence[str]) -> str:
    if len(labels) == 1:
        return ""
    more = f" and {len(labels) - 5} more" if len(labels) > 5 else ""
    return f" (also {', '.join(labels[1:5])}{more})"


def _survivors(pair: Pair, tensor: Tensor) -> Tensor:
    """The entries of ``tensor``, flattened, that the mask of its parameter keeps."""
    mask: Tensor | None = getattr(pair[0], f"{pair[1]}_mask", None)
    flat = tensor.reshape(-1)
    return flat if mask is None else flat[mask.reshape(-1) == 1]


def _parameters_of(raw: Tensor, model: nn.Module, bound: Sequence[Pair] | None) -> list[Pair]:
    """Which parameters of ``model`` were concatenated to ``raw``: those of exactly its values, or an error."""
    raw = raw.detach()
    candidates = bound if bound is not None else _candidates(model)
    values = {pair: _survivors(pair, getattr(*pair).detach()) for pair in candidates}
    found: list[Pair] = []
    offset = 0
    while offset < raw.numel():
        fits = [
            pair
            for pair, value in values.items()
            if value.numel() and pair not in found and torch.equal(raw[offset : offset + value.numel()], value)
        ]
        if bound is not None and fits:
            fits = fits[:1]
        if len(fits) != 1:
            how = "none" if not fits else "several"
            raise ValueError(
                f"parameters: the weights to prune match {how} of the parameters that the method is bound to "
                f"({type(model).__name__}); bind with parameters=, the pairs to be pruned in their order"
            )
        found.append(fits[0])
        offset += values[fits[0]].numel()
    return found


def _candidates(model: nn.Module) -> list[Pair]:
    """Every parameter of a model as a pair, under its public name."""
    return [
        (module, held.removesuffix("_orig") if f"{held.removesuffix('_orig')}_mask" in module._buffers else held)
        for module in model.modules()
        for held, parameter in module._parameters.items()
        if parameter is not None
    ]


def merged(method: type[BasePruningMethod], given: Mapping[str, Any], remembered: Mapping[str, Any]) -> Task:
    """What is scored with: the call's own arguments, else the class's, else what the list remembers."""
    bound = method._task if issubclass(method, SaliencyUnstructured) else Task()
    values = {}
    for name in ("model", "example_inputs", "data", "loss_fn"):
        sources = (given.get(name), getattr(bound, name), remembered.get(name))
        values[name] = next((value for value in sources if value is not None), None)
    return Task(**values)
