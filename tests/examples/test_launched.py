"""The scripts of ``examples/`` that are launched: two real processes end with one mask and one set of weights."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ACCELERATE = ("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0")
LINE = re.compile(r"rank (\d): (masks \d+, weights \S+), accuracy ([\d.]+)")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "launcher"), [("torchrun", TORCHRUN), ("accelerate", ACCELERATE), ("transformers", TORCHRUN)]
)
def test_both_ranks_end_with_one_mask_and_one_set_of_weights(library: str, launcher: tuple[str, ...]) -> None:
    for needed in ("sklearn", library):
        if needed != "torchrun" and find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    done = subprocess.run(
        [sys.executable, "-m", *launcher, f"examples/launch_{library}.py"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    lines = LINE.findall(done.stdout)
    assert sorted(rank for rank, _, _ in lines) == ["0", "1"]
    assert len({ends for _, ends, _ in lines}) == 1
    assert library == "transformers" or all(float(accuracy) > 0.5 for *_, accuracy in lines)


def test_each_script_says_how_it_is_launched_and_is_launched_above() -> None:
    scripts = {path.stem: path.read_text() for path in (ROOT / "examples").glob("launch_*.py")}
    assert set(scripts) == {"launch_torchrun", "launch_accelerate", "launch_transformers"}
    for name, text in scripts.items():
        assert re.search(rf"^   (torchrun|accelerate launch) .*2 examples/{name}\.py$", text, re.M)
