"""Real signals during random calls on random models: ``python -m benchmarks.faults.signals --trials 1000 --seed 1``.

Another process sends SIGINT or SIGTERM, or a timer SIGALRM, at a random moment of a call whose duration is known.
Afterwards the model is as it was, or, where the signal came after the last step, exactly as an undisturbed call leaves
it; what the call was given and the process are as they were. Trials run in processes of their own, fifty in each.
``--only SEED`` repeats a trial fifty times, as its moment is never quite the same.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from types import FrameType, TracebackType
from typing import Any

import torch

from benchmarks.faults.calls import random_call
from benchmarks.faults.fuse import ON_PURPOSE
from benchmarks.faults.injection import Scene, judge, quiet
from benchmarks.faults.models import Subject
from benchmarks.faults.process import process_state
from benchmarks.faults.report import Finding, command
from benchmarks.origin import ROOT

#: what a signal raises, and how it is shown
SIGNALS: dict[signal.Signals, tuple[type[BaseException], str]] = {
    signal.SIGINT: (KeyboardInterrupt, "Ctrl-C (SIGINT)"),
    signal.SIGTERM: (SystemExit, "SIGTERM whose handler raises SystemExit"),
    signal.SIGALRM: (TimeoutError, "SIGALRM whose handler raises TimeoutError"),
}
#: a process that sends its parent a signal for each line: seconds until then, and the signal
SENDER = """
import os, sys, time
for line in sys.stdin:
    delay, number = line.split()
    time.sleep(float(delay))
    os.kill(os.getppid(), int(number))
"""
PER_PROCESS = 50


class Sender:
    """Delivers one signal after a delay, and knows whether it arrived during the call."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-S", "-c", SENDER], stdin=subprocess.PIPE, text=True)
        self.arrived, self.within, self.where = False, False, ""
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def __enter__(self) -> Sender:
        """Enter the context."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, traceback: TracebackType | None) -> None:
        """End the sending process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def send(self, number: signal.Signals, delay: float) -> None:
        """Send a signal after a number of seconds."""
        self.arrived, self.within, self.where = False, False, ""
        if number == signal.SIGALRM:
            signal.setitimer(signal.ITIMER_REAL, max(delay, 1e-6))
        else:
            assert self.process.stdin is not None
            self.process.stdin.write(f"{delay} {int(number)}\n")
            self.process.stdin.flush()

    def await_arrival(self) -> None:
        """Wait until the signal has arrived."""
        end = time.monotonic() + 10
        while not self.arrived and time.monotonic() < end:
            time.sleep(1e-3)
        if not self.arrived:
            raise RuntimeError("the signal has not come")

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.arrived = True
        if frame is not None:
            code = frame.f_code
            self.where = f"{'/'.join(code.co_filename.split(os.sep)[-2:])}:{frame.f_lineno} {code.co_name}"
        while frame is not None and frame.f_code is not _called.__code__:
            frame = frame.f_back
        self.within = frame is not None
        if self.within:
            raise SIGNALS[signal.Signals(number)][0](ON_PURPOSE)


def _called(scene: Scene, subject: Subject) -> None:
    scene.call.run(subject)


def interrupt(seed: int, sender: Sender) -> Finding:
    """Run the trial of a seed: the same model, call and signal, at the same share of the call's duration."""
    draw = random.Random(f"signal {seed}")
    scene = Scene(seed, random_call(draw))
    number = draw.choice((*[signal.SIGINT] * 4, signal.SIGTERM, signal.SIGALRM))
    share = draw.uniform(0.9, 1.02) if draw.random() < 0.25 else draw.random()
    finding = Finding(seed, SIGNALS[number][1], scene.call.name)
    with quiet():
        try:
            expected = scene.run(scene.subject())
        except Exception as error:  # the library's own refusal
            finding.what += f" is refused: {error}"
            finding.reached = False
            return finding
        twin = scene.subject()
        start = time.perf_counter()
        scene.call.run(twin)
        duration = time.perf_counter() - start
        subject = scene.subject()
        before, around = scene.before(subject), process_state()
        errors: list[BaseException] = []
        sender.send(number, share * duration)
        try:
            _called(scene, subject)
        except BaseException as error:
            errors.append(error)
        sender.await_arrival()
        finding.reached = sender.within
        finding.what += f", {share:.3f} of {1e3 * duration:.0f} ms, in {sender.where}"
        if sender.within:
            judge(finding, scene, subject, before, around, expected, errors, completed=True)
    return finding


def once(seed: int) -> Finding:
    """Repeat a single trial until it finds a violation."""
    with Sender() as sender:
        for _ in range(PER_PROCESS):
            finding = interrupt(seed, sender)
            if finding.violations:
                break
    return finding


def in_processes(seeds: Sequence[int]) -> Iterator[Finding]:
    """Run the trials of all seeds in many processes. A trial whose process dies is a violation."""
    for start in range(0, len(seeds), PER_PROCESS):
        part = list(seeds[start : start + PER_PROCESS])
        arguments = [sys.executable, "-m", "benchmarks.faults.signals", "--child", *map(str, part)]
        done = subprocess.run(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        lines = done.stdout.splitlines()
        yield from (Finding(**json.loads(line)) for line in lines)
        for seed in part[len(lines) :]:
            what = f"the process ended with {done.returncode} in or before this trial"
            yield Finding(seed, "a process that dies", what, violations=[what])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    torch.set_num_threads(1)
    gc.freeze()
    typed = list(sys.argv[1:] if arguments is None else arguments)
    if typed[:1] != ["--child"]:
        return command("signals", __doc__ or "", once, arguments, in_processes)
    with Sender() as sender:
        for seed in map(int, typed[1:]):
            print(json.dumps(vars(interrupt(seed, sender))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
