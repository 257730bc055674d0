"""Interrupts that Python would drop come again, and others' errors are shown as ever."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys, time, weakref
from benchmarks import interrupts

class Thing: pass

def interrupted(_):
    {what}

with interrupts.raising_dropped_ones():
    try:
        thing = Thing()
        kept = weakref.ref(thing, interrupted)
        del thing
        time.sleep({seconds})
    except KeyboardInterrupt:
        interrupts.ignore()
        signal.raise_signal(signal.SIGINT)
        print("interrupted")
    else:
        print("went on")
"""


def ended(what: str, seconds: float) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(what=what, seconds=seconds)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("what", ["signal.raise_signal(signal.SIGINT)", "raise KeyboardInterrupt"])
def test_an_interrupt_in_the_callback_of_a_weak_reference_is_raised_after_it(what: str) -> None:
    run = ended("signal.signal(signal.SIGINT, signal.default_int_handler); " + what, 120)
    assert (run.stdout, run.stderr, run.returncode) == ("interrupted\n", "", 0)


def test_other_errors_there_are_shown_and_the_program_goes_on() -> None:
    run = ended("raise ValueError('of the callback')", 0.1)
    assert run.stdout == "went on\n"
    assert "ValueError: of the callback" in run.stderr
