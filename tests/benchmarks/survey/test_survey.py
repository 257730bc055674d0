"""The survey on a dozen families, and that all of its networks can be built and called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.survey import __main__ as survey
from benchmarks.survey.network import SurveyedNetwork
from benchmarks.survey.remarks import REMARKS
from benchmarks.survey.row import measure

pytest.importorskip("transformers")
pytest.importorskip("timm")

SUBJECTS = {subject.key: subject for library in survey.LIBRARIES.values() for subject in library()}
#: of each library some, among them those that failed before they had tests
QUICK = [
    "transformers/BertForSequenceClassification",
    "transformers/GPT2LMHeadModel",
    "transformers/LlamaForCausalLM",
    "transformers/MixtralForCausalLM",
    "transformers/MambaForCausalLM",
    "transformers/T5ForConditionalGeneration",
    "transformers/Swinv2ForImageClassification",
    "transformers/CLIPModel",
    "timm/test_vit",
    "timm/test_nfnet",
    "timm/test_byobnet",
    "timm/starnet_s050",
]


def check(subject: SurveyedNetwork) -> None:
    row = measure(subject, iterations=5)
    assert "error" not in row
    assert row["scores"] == "positive" or "zero" in row["scores"]
    assert isinstance(row["plain"], int)
    assert isinstance(row["balanced"], int)
    assert row["balanced"] <= row["plain"]
    assert row["balanced paths"] != "cannot train"


@pytest.mark.parametrize("key", QUICK)
def test_networks_are_scored_and_pruned(key: str) -> None:
    check(SUBJECTS[key])


@pytest.mark.slow
@pytest.mark.parametrize("key", sorted(set(SUBJECTS) - set(QUICK)))
def test_every_network_of_the_survey_has_its_row(key: str) -> None:
    """What cannot work has a reason in its row."""
    row = measure(SUBJECTS[key], iterations=2)
    for column in ("scores", "plain", "balanced", "SNIP", "GraSP"):
        assert row.get("error") or row.get(column) is not None, column


def test_there_are_enough_families() -> None:
    families = {(s.library, s.family) for s in SUBJECTS.values()}
    assert sum(library == "transformers" for library, _ in families) >= 25
    assert sum(library == "timm" for library, _ in families) >= 78
    kinds = {family for library, family in families if library == "torchvision"}
    assert kinds == {"classification", "segmentation", "detection", "video"}


def test_remarks_are_about_networks_of_the_survey_and_fit_into_the_table() -> None:
    assert set(REMARKS) <= {subject.name for subject in SUBJECTS.values()}
    assert max(map(len, REMARKS.values())) <= 160


def test_rows_are_added_to_the_file_and_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "survey.json"
    command = ["survey", "--models", "starnet_s050", "--libraries", "timm", "--iterations", "1", "--out", str(out)]
    monkeypatch.setattr("sys.argv", command)
    survey.main()
    (row,) = json.loads(out.read_text())["rows"]
    assert row["model"] == "starnet_s050"
    assert row["iterations"] == 1
    before = out.read_text()
    survey.main()
    assert out.read_text() == before


def test_an_error_is_a_row_with_its_text() -> None:
    class Fails(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no such thing")

    row = measure(SurveyedNetwork("own", "own", "fails", lambda: Fails(3, 2), lambda count: torch.ones(count, 3)), 1)
    assert row["scores"] == row["plain"] == row["SNIP"] == "RuntimeError: no such thing"
