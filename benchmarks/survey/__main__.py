"""The survey of networks that people use: ``python -m benchmarks.survey``.

A line for each network: the share of its weights that is listed, whether SynFlow's scores are positive, the greatest
total of a layer over the last one's (1 where flow is counted once; 3 for a fused projection of queries, keys and
values), whether the pass is recorded, layers emptied at 0.9 by SynFlow and BalancedSynFlow and whether every output
still has a path from the input, and whether SNIP and GraSP score it. What fails stands there with its error. Networks
are as they are initialised. Rows that the file has already are not made again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from benchmarks.arguments import positive
from benchmarks.origin import RESULTS, revision, save
from benchmarks.survey import timm_models, torchvision_models, transformers_models
from benchmarks.survey.network import SurveyedNetwork
from benchmarks.survey.row import ITERATIONS, measure

OUT = RESULTS / "survey.json"
LIBRARIES: dict[str, Callable[[], Iterator[SurveyedNetwork]]] = {
    "transformers": transformers_models.subjects,
    "timm": timm_models.subjects,
    "torchvision": torchvision_models.subjects,
}


def main() -> None:
    """Measure what is not in the file yet."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.survey", description=__doc__)
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    parser.add_argument("--models", nargs="+", help="names of models (default: all)")
    parser.add_argument("--iterations", type=positive(int), default=ITERATIONS)
    parser.add_argument("--out", type=Path, default=OUT, help=f"default benchmarks/results/{OUT.name}")
    options = parser.parse_args()
    rows = json.loads(options.out.read_text())["rows"] if options.out.exists() else []
    done = {(row["library"], row["model"]) for row in rows}
    chosen = [
        subject
        for library in options.libraries
        for subject in LIBRARIES[library]()
        if (subject.library, subject.name) not in done and (not options.models or subject.name in options.models)
    ]
    for subject in (bar := tqdm(chosen)):
        bar.set_description(subject.key)
        row = {**measure(subject, options.iterations), "git": revision()}
        rows = json.loads(options.out.read_text())["rows"] if options.out.exists() else []  # others may write too
        save(options.out, {"rows": [*rows, row]}, parser.prog)
        tqdm.write(f"{subject.key}: {row.get('scores') or row.get('error')}")


if __name__ == "__main__":
    main()
