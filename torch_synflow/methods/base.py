"""The base class of all methods with scores: ranking, binding to a model, and errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod

from torch_synflow.budget.counts import check_amount, to_remove
from torch_synflow.methods.binding import bound_class, parameters_of, survivors_of
from torch_synflow.methods.one_tensor import prune_one
from torch_synflow.methods.refusal import checked_task, refusal
from torch_synflow.model.listing import weights_of
from torch_synflow.model.parameters import Entry, ExampleInputs, Pair, Parameters, resolve, unwrap
from torch_synflow.model.threads import ONE_AT_A_TIME
from torch_synflow.model.transaction import all_or_nothing
from torch_synflow.parallel.ranks.meeting import Meeting, together
from torch_synflow.parallel.ranks.scored import scored_together
from torch_synflow.schedules import Schedule, exponential
from torch_synflow.scoring.data import checked_batch_size
from torch_synflow.scoring.marked import Scores, require_finite, require_nonzero, require_scores
from torch_synflow.scoring.network import Network
from torch_synflow.scoring.noise import require_no_noise
from torch_synflow.scoring.opening import opened
from torch_synflow.scoring.task import Data, LossFunction, Outputs, Task, Weights
from torch_synflow.selection.stream import ScoreStream
from torch_synflow.selection.survivors import keep_highest

Method = TypeVar("Method", bound="SaliencyUnstructured")


class SaliencyUnstructured(BasePruningMethod):
    """A pruning method that ranks scores, either of the model that it is bound to or passed by the caller.

    A subclass defines :meth:`saliency` and its defaults. This class provides masks, ties, rounding, binding and errors.

    Args:
        amount: how much to remove, as in torch: a float between 0 and 1 is the fraction of the weights not yet pruned,
            and an int is a number of weights.

    Raises:
        TypeError, ValueError: if ``amount`` is neither.
    """

    PRUNING_TYPE: ClassVar[str] = "unstructured"

    #: the default number of iterations in ``global_iterative_unstructured``
    iterations: ClassVar[int] = 1
    #: the default schedule in ``global_iterative_unstructured``
    schedule: ClassVar[Schedule] = staticmethod(exponential)
    #: whether the model is scored in training mode
    training: ClassVar[bool] = True
    #: the lowest precision of the scores
    dtype: ClassVar[torch.dtype] = torch.float32
    #: whether an iteration may keep weights that an earlier iteration of the same call has pruned
    pruned_may_return: ClassVar[bool] = False
    #: the largest number of examples per pass, or None; BatchNorm in training mode sees the parts of larger batches
    batch_size: ClassVar[int | None] = None
    #: the arguments that scoring needs in addition to the model
    needs: ClassVar[tuple[str, ...]] = ("data", "loss_fn")
    _task: ClassVar[Task] = Task()
    _bound_parameters: ClassVar[Any] = None

    def __init__(self, amount: float) -> None:
        check_amount(amount)
        self.amount = amount

    @classmethod
    def saliency(cls, network: Network) -> Weights:
        """Score ``network.weights``: one tensor of the same shape per name; higher means keep."""
        raise NotImplementedError(f"{cls.__name__} must define saliency(network)")

    @classmethod
    def bind(
        cls: type[Method],
        model: nn.Module,
        *,
        example_inputs: ExampleInputs | None = None,
        data: Data | None = None,
        loss_fn: LossFunction | None = None,
        outputs: Outputs | None = None,
        parameters: Iterable[Pair] | None = None,
    ) -> type[Method]:
        """Make a class that carries its model, for callers that can pass only a class.

        If torch's ``global_unstructured`` passes raw weights, the class finds their parameters by value and ranks the
        scores of the model instead.

        Args:
            model: the model to score.
            example_inputs: the model's inputs (SynFlow).
            data: a batch ``(inputs, targets)`` or an iterable of batches (SNIP, GraSP).
            loss_fn: ``loss_fn(outputs, targets)``, the mean over a batch (SNIP, GraSP).
            outputs: which of the model's outputs count.
            parameters: the ``(module, name)`` pairs that will be pruned, in order. They are needed only if the model
                has several parameters with the same values, such as BatchNorm's ones.

        Raises:
            TypeError, ValueError: if an argument that the method needs is missing.

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
        return bound_class(cls, cls.require(Task(model, example_inputs, data, loss_fn, outputs)), pairs)

    @classmethod
    def scores(
        cls,
        model: nn.Module | None = None,
        parameters: Parameters | None = None,
        *,
        example_inputs: ExampleInputs | None = None,
        data: Data | None = None,
        loss_fn: LossFunction | None = None,
        outputs: Outputs | None = None,
    ) -> dict[Pair, Tensor]:
        """Score parameters of a model, which is only read.

        Args:
            model: the model. The defaults of this and all other arguments are those that the class is bound to.
            parameters: ``(module, name)`` pairs; all prunable weights by default.
            example_inputs: the model's inputs (SynFlow).
            data: a batch ``(inputs, targets)`` or an iterable of batches (SNIP, GraSP).
            loss_fn: ``loss_fn(outputs, targets)``, the mean over a batch (SNIP, GraSP).
            outputs: which of the model's outputs count.

        Returns:
            A tensor per pair, of its parameter's shape. Higher means keep; pruned weights score zero.

        Raises:
            ValueError: if scores are not finite, or if all scores of a tensor of an unpruned model are zero or rounding
                noise. The message names the tensor.
        """
        task = Task(model, example_inputs, data, loss_fn, outputs).or_else(cls._task)
        return together(f"{cls.__name__}.scores", partial(cls._score, task, parameters), shared="data" in cls.needs)

    @classmethod
    def _score(cls, task: Task, parameters: Parameters | None, meeting: Meeting | None) -> dict[Pair, Tensor]:
        """The scores of :meth:`scores`, which the ranks of a meeting compute together."""
        task = cls.require(task)
        assert task.model is not None  # checked by require
        entries = resolve(weights_of(task.model) if parameters is None else parameters, unwrap(task.model))

        def whole(task: Task) -> list[Tensor]:
            scores = cls.score_entries(entries, cls.network(task, entries, [entry.mask for entry in entries]))
            return [scores.whole(number).view_as(entry.parameter) for number, entry in enumerate(entries)]

        def work() -> dict[Pair, Tensor]:  # includes the code after scoring, which may have drawn random numbers
            scores = scored_together(meeting, cls, task, entries, whole)
            return {pair: s.as_subclass(Scores) for e, s in zip(entries, scores, strict=True) for pair in e.locations}

        return all_or_nothing([task.model], work)

    @classmethod
    def network(cls, task: Task, entries: Sequence[Entry], masks: Sequence[Tensor]) -> Network:
        """The model of ``task`` as a function of the weights of checked entries, in the method's precision."""
        with ONE_AT_A_TIME, torch.inference_mode(False), torch.no_grad():
            return Network(task, entries, masks, cls.dtype)

    @classmethod
    def score_entries(cls, entries: Sequence[Entry], network: Network) -> ScoreStream:
        """Score checked entries, the step of the loop that reads the model. Pruned elements score zero."""
        saliency = opened(network, lambda: cls.saliency(network), training=cls.training)
        require_scores(saliency, network.weights, cls.__name__)
        scores = [saliency[entry.key].detach() for entry in entries]
        require_finite(entries, scores, f"{cls.__name__} scores")
        if network.unpruned:
            used = [e for e in entries if e.key not in network.unused]
            require_nonzero(used, [saliency[entry.key] for entry in used], cls.__name__)
            require_no_noise(used, saliency, network, cls.saliency, cls.__name__, training=cls.training)
            return ScoreStream(scores)
        return ScoreStream(
            [score.masked_fill(~network.masks[e.key], 0) for e, score in zip(entries, scores, strict=True)]
        )

    @classmethod
    def require(cls, task: Task) -> Task:
        """Check that ``task`` has the arguments that the method needs; one-pass data becomes a list."""
        return checked_task(task, cls, cls.needs, checked_batch_size(cls.__name__, cls.batch_size))

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Keep the highest scores of the elements that ``default_mask`` keeps.

        Args:
            t: scores, or, for a bound class, the raw weights that torch passes.
            default_mask: a mask of 0 and 1, with the shape of ``t``.

        Raises:
            ValueError: if ``t`` is not marked as :class:`Scores` and the class is not bound to a model, or if the
                scores are not finite.
        """
        alive = default_mask.reshape(-1) != 0
        scores = (t if isinstance(t, Scores) else self._of_bound_model(t)).as_subclass(Tensor).reshape(-1)[alive]
        if not bool(torch.isfinite(scores).all()):
            raise ValueError(f"scores: expected finite scores for {type(self).__name__}, got NaN or infinity")
        highest = keep_highest(scores, scores.numel() - to_remove(self.amount, scores.numel()))
        return default_mask * torch.zeros_like(alive).masked_scatter(alive, highest).view(default_mask.shape)

    @classmethod
    def apply(  # type: ignore[override]
        cls, module: nn.Module, name: str, amount: float, importance_scores: Tensor | None = None
    ) -> BasePruningMethod:
        """Prune one parameter in one step, as torch's methods do. An error changes nothing.

        Args:
            module: the module that holds the parameter.
            name: the name of the parameter in ``module``.
            amount: how much of it to remove.
            importance_scores: scores of the parameter's shape; by default those of the bound model.

        Returns:
            The hook that was added.
        """
        pair = (module, name)
        # of the unbound class, so that the hook pickles without the model
        unbound = next(base for base in cls.__mro__ if "_task" not in vars(base) or base is SaliencyUnstructured)
        parent: Any = super(SaliencyUnstructured, unbound)

        def prune(meeting: Meeting | None) -> None:
            def scores() -> Tensor:
                if importance_scores is not None:
                    return importance_scores
                if cls._task.model is None:
                    raise ValueError(refusal(cls, cls.needs))
                return cls._score(cls._task, [pair], meeting)[pair]

            prune_one(pair, amount, scores, partial(parent.apply, module, name, amount), meeting)

        together(f"{cls.__name__}.apply", prune, shared=importance_scores is None)
        return next(hook for hook in module._forward_pre_hooks.values() if getattr(hook, "_tensor_name", "") == name)  # type: ignore[return-value]

    @classmethod
    def _of_bound_model(cls, raw: Tensor) -> Tensor:
        """The bound model's scores for the raw weights that torch concatenated."""
        if cls._task.model is None:
            raise ValueError(refusal(cls, cls.needs))
        pairs = parameters_of(raw, cls._task.model, cls._bound_parameters)
        scores = together(cls.__name__, partial(cls._score, cls._task, pairs))
        return torch.cat([survivors_of(pair, scores[pair]) for pair in pairs]).as_subclass(Scores)
