"""One injected failure: a random call on a random model, a fault somewhere in it, and what must hold afterwards."""

from __future__ import annotations

import contextlib
import gc
import random
import sys
import warnings
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults.calls import Call, random_call
from benchmarks.faults.fingerprint import bits, differences, fingerprint
from benchmarks.faults.fuse import FAILURES, Fuse, Stopped, hidden, lit
from benchmarks.faults.models import Subject, random_subject
from benchmarks.faults.process import process_state, put_back
from benchmarks.faults.report import Finding
from benchmarks.faults.watch import WATCHES

#: where a run is watched from, each as likely as it is often named
HOW = ("calls", "calls", "forward", "functions", "operations", "operations", "moments", "moments")
REFUSAL = "an error of the call's own"
UNDISTURBED = "no failure at all"


def shown(result: Any) -> Any:
    """A result of a call, in a form that can be compared with the result on another model of the same seed."""
    if isinstance(result, Tensor):
        return bits(result)
    if isinstance(result, dict):
        return [(key if isinstance(key, str) else "", shown(value)) for key, value in result.items()]
    if isinstance(result, nn.Module):
        return type(result).__name__
    return repr(result.to_dict() if hasattr(result, "to_dict") else result)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Ignore warnings, which are not failures, and restore torch's random state at the end.

    Python itself drops errors in callbacks of its garbage collection, and reports them on stderr.
    """
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.unraisablehook = hook


class Scene:
    """The call of a seed, on equal models that are built separately from that seed."""

    def __init__(self, seed: int, call: Call) -> None:
        self.seed, self.call = seed, call

    def subject(self) -> Subject:
        """Another such model, ready for the call."""
        subject = random_subject(self.seed)
        self.call.prepare(subject)
        torch.manual_seed(self.seed)
        return subject

    def run(self, subject: Subject) -> Any:
        """Make the call, and return its result and the state that it leaves."""
        torch.manual_seed(self.seed)
        result = shown(self.call.run(subject))
        return result, self.left(subject)

    def left(self, subject: Subject) -> Any:
        """The state of a model, comparable with that of another model of the seed."""
        return fingerprint(subject.model, *subject.given, identities=False)

    def before(self, subject: Subject) -> Any:
        """The state that a failed call must not change."""
        return fingerprint(subject.model, *subject.given, versions=not self.call.writes)


def inject(seed: int, how: str | None = None, call: Call | None = None) -> Finding:
    """The trial of a seed.

    A first run on a model of its own counts the places that the call passes. One of them is drawn, kinds of places
    being equally likely, and on a second model the call fails there.

    Args:
        seed: of the model, the call, the failure and the place.
        how: how the call is watched (``HOW``); by default drawn too.
        call: what is called; by default drawn too.
    """
    draw = random.Random(f"injection {seed}")
    drawn = random_call(draw)
    scene = Scene(seed, drawn if call is None else call)
    how = draw.choice(HOW) if how is None else how
    failure = draw.choice((KeyboardInterrupt, Stopped) if how == "moments" else FAILURES)
    with quiet():
        subject = scene.subject()
        before, around = scene.before(subject), process_state()
        try:
            expected = scene.run(subject)
        except Exception as error:  # a refusal is a failure too
            finding = Finding(scene.seed, REFUSAL, f"{scene.call.name}: {type(error).__name__}: {error}")
            _process(finding, around)
            finding.violations += differences(before, scene.before(subject))[:5]
            return finding
        undisturbed = Finding(scene.seed, UNDISTURBED, scene.call.name)
        _process(undisturbed, around)
        if undisturbed.violations:
            return undisturbed
        return _failed(scene, expected, how, failure, draw)


def _watched(fuse: Fuse, how: str) -> contextlib.AbstractContextManager[object]:
    return contextlib.nullcontext() if how == "calls" else WATCHES[how](fuse)


def _failed(scene: Scene, expected: Any, how: str, failure: type[BaseException], draw: random.Random) -> Finding:
    count = _counted(scene, how)
    if not count.passed:  # a call that runs no function of a user's
        how = "operations"
        count = _counted(scene, how)
    place, call = _place(count, draw)
    what = f"{scene.call.name}: {failure.__name__} at {_words(place)}, time {call} of {count.passed[place]}"
    finding = Finding(scene.seed, _kind(place), what)
    subject, fuse = scene.subject(), Fuse(place, call, failure)
    before, around = scene.before(subject), process_state()
    errors: list[BaseException] = []
    try:
        with lit(fuse), _watched(fuse, how):
            scene.call.run(subject)
    except BaseException as error:
        errors.append(error)
    finding.reached = fuse.fired
    if fuse.fired:
        completed = isinstance(place, tuple) or not errors  # a moment after the last step, or a failure that was caught
        judge(finding, scene, subject, before, around, expected, errors, completed=completed)
    return finding


def _counted(scene: Scene, how: str) -> Fuse:
    count, twin = Fuse(), scene.subject()
    with lit(count), _watched(count, how):
        scene.call.run(twin)
    return count


def judge(
    finding: Finding,
    scene: Scene,
    subject: Subject,
    before: Any,
    around: Any,
    expected: Any,
    errors: list[BaseException],
    *,
    completed: bool,
) -> None:
    """Check that nothing is lost: now, in a second run, and once the error is gone.

    Args:
        finding: to be completed.
        scene: what was called.
        subject: on what.
        before: the fingerprint from before.
        around: the state of the process from before.
        expected: what an undisturbed run gives and leaves.
        errors: what was raised, if anything was; the last reference to it.
        completed: whether the model may be as the call leaves it, as where a signal comes after the last step.
    """
    finding.violations += [text for error in errors if (text := hidden(error))]
    _process(finding, around)
    changed = differences(before, scene.before(subject))
    if completed and (changed or not errors) and scene.left(subject) == expected[1]:
        finding.state = "as without the fault"
    elif changed:
        finding.state = "changed"
        finding.violations += changed[:5]
    else:
        again = scene.run(subject)  # while the error still holds the frames that it came from
        if again != expected:
            finding.violations.append(f"a second run gives something else: {differences(expected, again)[:3]}")
    errors.clear()
    gc.collect()
    if not finding.violations:
        later = differences(expected[1], scene.left(subject))
        finding.violations += [f"once the error is gone: {text}" for text in later[:5]]
    _process(finding, around)


def _place(count: Fuse, draw: random.Random) -> tuple[Hashable, int]:
    """The place at which to fail, and the number of the pass: a random kind, place and pass."""
    kinds: dict[str, list[Hashable]] = {}
    moments = [place for place in count.passed if isinstance(place, tuple)]
    for place in moments or count.passed:
        kinds.setdefault(_kind(place), []).append(place)
    if not kinds:
        return None, 1
    place = draw.choice(kinds[draw.choice(list(kinds))])
    return place, draw.randint(1, count.passed[place])


def _kind(place: Hashable) -> str:
    return str(place[0] if isinstance(place, tuple) else place)


def _words(place: Hashable) -> str:
    """The name of a place, without the machine's folders."""
    if not isinstance(place, tuple):
        return str(place)
    _, event, path, function, line = place
    return f"{event} in {'/'.join(Path(path).parts[-2:])}:{line} {function}"


def _process(finding: Finding, around: dict[str, Any]) -> None:
    """Record the changes to the state of the process, and undo them for the next trials."""
    finding.violations += differences(around, process_state(), "process")
    put_back(around)
