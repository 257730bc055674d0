"""A cluster of Ray, its machines being processes here: GPUs that trials share, and a machine that is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
ray = pytest.importorskip("ray")

from benchmarks.speed.scaling import trials_of  # noqa: E402
from benchmarks.sweep.executors import OnRay  # noqa: E402
from benchmarks.training.datasets import Source  # noqa: E402
from tests.benchmarks.sweep.drivers import (  # noqa: E402
    TRAINED,
    TRAINED_COUNT,
    count_of,
    drive,
    ended,
    results_in,
    wait_for,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A machine that runs no trial, and beside it one with two CPUs and, as far as Ray is told, one GPU."""
    from ray.cluster_utils import Cluster

    own = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    own.worker = own.add_node(num_cpus=2, num_gpus=1)
    yield own
    own.shutdown()


def test_trials_on_a_machine_that_is_lost_are_run_on_another(cluster: Any, tmp_path: Path) -> None:
    driver = drive(*TRAINED, "--executor", "ray", "--address", cluster.address, results=tmp_path)
    wait_for(tmp_path, 2, driver)
    cluster.remove_node(cluster.worker, allow_graceful=False)
    assert len(results_in(tmp_path)) < TRAINED_COUNT
    cluster.add_node(num_cpus=2)
    out, _ = driver.communicate(timeout=500)
    assert driver.returncode == 0, out
    assert count_of(out, "run now") == TRAINED_COUNT
    assert sorted(ended(tmp_path)) == sorted(results_in(tmp_path))  # each ended once
    origins = [json.loads(path.read_text())["origin"] for path in tmp_path.glob("*.json")]
    assert {origin["device"] for origin in origins} == {"cpu, 1 threads"}
    assert len({origin["git"] for origin in origins}) == 1  # the driver's


def test_small_trials_share_a_gpu(cluster: Any) -> None:
    with pytest.raises(SystemExit, match=r"--gpus-per-trial: expected no more than Ray has \(2 CPUs, 1 GPUs\)"):
        OnRay(Source(), "cpu", cluster.address, cpus=0.5, gpus=2)
    executor = OnRay(Source(), "cpu", cluster.address, cpus=0.5, gpus=0.25)
    try:
        assert executor.slots == 4
        assert ray.available_resources()["GPU"] == 1
        for trial in trials_of(5, 40):
            assert executor.has_room()
            executor.submit(trial)
        end = time.monotonic() + 120
        while ray.available_resources().get("GPU", 0) > 0:  # a quarter is taken by each that runs
            assert time.monotonic() < end
            time.sleep(0.1)
        outcomes = [executor.next()[1] for _ in range(5)]
        assert all("result" in outcome for outcome in outcomes), outcomes
    finally:
        executor.close()
