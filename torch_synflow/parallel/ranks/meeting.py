"""Meetings of ranks, which continue together or stop together with an error that names the rank and the reason."""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch.distributed as dist

from torch_synflow._torch.process_groups import prefixed, store_of, timeout_of
from torch_synflow.model.transaction import Result
from torch_synflow.parallel.ranks.group import group_of_call

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


_log = logging.getLogger("torch_synflow")
#: seconds that a rank waits for the others before it reports so, and, after a failure, for them to see it
PATIENCE = 30.0
LINGER = 5.0
_GO_ON = b"go on"


class RankError(RuntimeError):
    """Another rank has failed or did not arrive in time; nothing has changed on this rank.

    Example:
        >>> from torch_synflow import parallel
        >>> model = nn.Linear(8, 4)
        >>> try:
        ...     report = prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5)
        ... except parallel.RankError as error:  # str(error) names the rank
        ...     raise SystemExit(str(error))
        >>> report.kept
        16
    """


class Meeting:
    """The ranks of a group in one call, which meet at each step.

    A step is a number in the group's store. The last rank to arrive lets all continue. A rank that fails writes its
    error at its next step, where the others wait or will arrive. No rank can pass a step that another has not reached,
    so all get the same answer. Meetings need no tensor and no backend, and a waiting rank can be interrupted.

    Args:
        group: the ranks.
        call: what they do together, in messages.

    Attributes:
        rank: the place of this rank in the group.
        size: how many ranks there are.
        names: the ranks by their numbers in the default group.
        group: the group, for tensors.
        call: what they do together.
    """

    def __init__(self, group: ProcessGroup, call: str) -> None:
        self.group = group
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        self.names = dist.get_process_group_ranks(group)
        self.call = call
        self._timeout = timeout_of(group).total_seconds()
        store = store_of(group)
        number = _while_there(lambda: store.add(f"calls/{self.rank}", 1))
        self._store = prefixed(f"call {number}", store)
        self._passed = 0

    @property
    def first(self) -> bool:
        """Whether this is the first rank, which decides for all."""
        return self.rank == 0

    def meet(self) -> None:
        """Wait for all ranks.

        Raises:
            RankError: if one has failed, or does not come before the group's timeout.
        """
        step = self._passed + 1
        self._arrive(step)
        if _while_there(lambda: self._store.add(f"count/{step}", 1)) == self.size:
            self._decide(step, _GO_ON)
        if not self._wait(lambda: self._store.check([f"verdict/{step}"]), self._timeout, step):
            raise RankError(self._too_late(step))
        verdict = _while_there(lambda: self._store.get(f"verdict/{step}"))
        if verdict != _GO_ON:
            raise RankError(verdict.decode())
        self._passed = step

    def tell(self, value: Any = None) -> Any:
        """Send the value of the first rank to all ranks."""
        key = f"told/{self._passed + 1}"
        if self.first:
            self._store.set(key, pickle.dumps(value))  # type: ignore[arg-type]
        self.meet()
        return pickle.loads(_while_there(lambda: self._store.get(key)))

    def collect(self, value: Any) -> list[Any]:
        """Collect the values of all ranks, in order, on the first rank; the others get an empty list."""
        step = self._passed + 1
        self._store.set(f"from {self.rank}/{step}", pickle.dumps(value))  # type: ignore[arg-type]
        self.meet()
        if not self.first:
            return []
        return [pickle.loads(self._store.get(f"from {rank}/{step}")) for rank in range(self.size)]

    def fail(self, error: BaseException) -> None:
        """Tell the others that this rank has failed, and give waiting ranks time to see it."""
        text = f"{self.call}: rank {self.names[self.rank]} has failed: {type(error).__name__}: {error}"
        if isinstance(error, RankError):
            text = str(error)
        try:
            self._decide(self._passed + 1, text.encode())
            self._store.add("informed", 1)
            self._poll(lambda: int(self._store.add("informed", 0)) == self.size, LINGER)
        except (RuntimeError, OSError):
            _log.info("the store is gone, so other ranks do not learn that this rank has failed")

    def lost(self, error: Exception) -> RankError:
        """The error of an exchange of tensors that broke off, which names ranks that failed or are gone."""
        step = self._passed + 1
        self._arrive(step)
        try:
            self._poll(lambda: self._store.check([f"verdict/{step}"]) or not self._missing(step), self._timeout)
            if self._store.check([f"verdict/{step}"]):
                return RankError(self._store.get(f"verdict/{step}").decode())
            missing = self._missing(step)
        except (RuntimeError, OSError):
            missing = []
        gone = f"{ranks_in_words(missing)} gone" if missing else "its network failed"
        return RankError(f"{self.call}: an exchange of tensors broke off, {gone}: {error}")

    def _arrive(self, step: int) -> None:
        _while_there(lambda: self._store.set(f"at/{self.rank}", str(step)))

    def _decide(self, step: int, verdict: bytes) -> None:
        """Write the verdict of a step, unless there is one."""
        _while_there(lambda: self._store.compare_set(f"verdict/{step}", "", verdict))  # type: ignore[arg-type]

    def _wait(self, ready: Callable[[], bool], seconds: float, step: int) -> bool:
        """Whether ``ready`` within these seconds; reports the ranks that it waits for."""
        if _while_there(lambda: self._poll(ready, min(PATIENCE, seconds))):
            return True
        _log.warning("%s waits for %s", self.call, ranks_in_words(self._missing(step)))
        return _while_there(lambda: self._poll(ready, seconds - PATIENCE))

    @staticmethod
    def _poll(ready: Callable[[], bool], seconds: float) -> bool:
        """Whether ``ready`` within these seconds, by short waits, because an interrupt cannot end a long one."""
        start = time.monotonic()
        while not ready():
            elapsed = time.monotonic() - start
            if elapsed >= seconds:
                return False
            time.sleep(min(max(elapsed / 8, 2e-4), 0.05))
        return True

    def _missing(self, step: int) -> list[int]:
        """The ranks that have not reached a step, by their numbers in the default group."""
        return [name for rank, name in enumerate(self.names) if self._step_of(rank) < step]

    def _step_of(self, rank: int) -> int:
        key = f"at/{rank}"
        return _while_there(lambda: int(self._store.get(key)) if self._store.check([key]) else 0)

    def _too_late(self, step: int) -> str:
        missing, waited = (
            ranks_in_words(self._missing(step)),
            f"within the {self._timeout:g} s of the process group's timeout",
        )
        if step == 1:
            return (
                f"{self.call}: expected a call on every rank of the process group, got none from {missing} {waited}; "
                "make the call on all ranks, or, for a model of this rank alone, inside `with "
                "torch_synflow.parallel.alone():`"
            )
        return f"{self.call}: {missing} did not continue {waited} (killed or still at work); nothing has been pruned"


def ranks_in_words(numbers: list[int]) -> str:
    """Ranks in words."""
    return f"rank{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"


def _while_there(ask: Callable[[], Result]) -> Result:
    """The answer of the store, or an error if it is gone."""
    try:
        return ask()
    except (RuntimeError, OSError) as error:
        raise RankError(
            f"the store of the process group, which rank 0 or the launcher holds, no longer answers: {error}"
        ) from error


def together(call: str, work: Callable[[Meeting | None], Result], *, shared: bool = True) -> Result:
    """Return the result of ``work``, which all ranks of the process group do; a single rank passes ``None``.

    Args:
        call: what they do, in messages.
        work: given the meeting of the ranks.
        shared: whether all ranks do it; otherwise this one does it alone.

    Raises:
        RankError: on all other ranks, if the work fails on one rank, or a rank does not make the call.
    """
    group = group_of_call() if shared else None
    if group is None:
        return work(None)
    meeting = Meeting(group, call)
    try:
        meeting.meet()
        return work(meeting)
    except BaseException as error:
        meeting.fail(error)
        raise


def settle(meeting: Meeting | None) -> None:
    """Wait until every rank has changed its model, as the last step that can fail."""
    if meeting is not None:
        meeting.meet()
