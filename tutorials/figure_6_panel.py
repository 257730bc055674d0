"""
Reproduce a panel of figure 6
=============================

Figure 6 of Tanaka et al. 2020 is the main result of the SynFlow paper: test accuracy against compression ratio for five
methods, in twelve panels of a network and a data set. One command runs a panel, and one draws it. They belong to
``benchmarks/``, which is not part of the installed package, so run them in a clone of the repository:

.. code-block:: sh

   pip install -e ".[benchmarks]"
   python -m benchmarks run synflow-6 --pair cifar10/vgg11_bn --seeds 1 --download
   python -m benchmarks plot synflow-6 --pair cifar10/vgg11_bn --seeds 1

``--download`` fetches CIFAR-10 with torchvision. This page says how long the first command takes, draws a shortened
panel from results that are in the repository, and runs a panel on small data in seconds.
"""

import json
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

sys.path.insert(0, str(Path.cwd().parent))  # the clone, if this runs in tutorials/

from benchmarks.__main__ import main
from benchmarks.origin import RESULTS

folder = Path(tempfile.mkdtemp())


def benchmarks(command):
    """Run a command in this process: the same as ``python -m benchmarks ...``."""
    print("$ python -m benchmarks", command.replace(str(folder), "FOLDER"))
    assert main(command.split()) == 0


# %%
# How long does it take?
# ----------------------
#
# The panel has five methods at 16 compression ratios and the unpruned network: 81 trials of 160 epochs. Every result in
# ``benchmarks/results/trials`` holds the seconds that it took. Shorter trials of the same network therefore give an
# estimate.

lines = (RESULTS / "trials" / "synflow-1.jsonl").read_text().splitlines()
short = [record for record in map(json.loads, lines)
         if record["settings"]["network"] == "vgg11_bn"]  # fmt: skip
epochs = short[0]["settings"]["recipe"]["epochs"]
seconds = sum(record["origin"]["seconds"]["all"] for record in short)
days = seconds / len(short) / epochs * 160 * 81 / 86_400
print(f"{len(short)} trials of {epochs} epochs took {seconds / 3600:.1f} hours")
print(f"measured on: {short[0]['origin']['device']}")
print(f"81 trials of 160 epochs would take {days:.0f} days there")

# %%
# A GPU is needed for the whole panel. No GPU has been timed yet: ``--dry-run`` estimates the time on your device from a
# few training steps, and ``--epochs-scale 0.1`` shortens the schedule. Results are files, so an interrupted run resumes
# where it stopped.
#
# The shortened panel
# -------------------
#
# These are the trials above: 2 of 160 epochs, one seed, three compression ratios. To run them yourself, replace
# ``plot`` with ``run`` and add ``--download``.

benchmarks(
    "plot synflow-6 --pair cifar10/vgg11_bn --seeds 1 --precision bfloat16 "
    "--channels-last --epochs-scale 0.0125 --log10-compressions 1.5 2 2.5 "
    f"--out {folder}/vgg11.png"
)


def show(path):
    """Show a picture that a command has drawn."""
    axes = plt.subplots(figsize=(8, 6), layout="constrained")[1]
    axes.imshow(plt.imread(path))
    axes.axis("off")
    plt.show()


show(folder / "vgg11.png")

# %%
# At a compression ratio of 10\ :sup:`2.5` SynFlow is well above the others, as in the paper. The schedule is too short
# to say more.
#
# A panel in seconds
# ------------------
#
# scikit-learn's handwritten digits need no download. The options after ``run`` choose the trials, and the same options
# after ``plot`` draw them.

choice = (
    "synflow-6 --pair digits/vgg_small --seeds 1 --log10-compressions 0.5 1 2 "
    f"--epochs-scale 0.5 --results {folder}/trials"
)
benchmarks(f"run {choice} --device cpu")
benchmarks(f"plot {choice} --out {folder}/digits.png")
show(folder / "digits.png")

# %%
# Next: :doc:`/reproducing` lists the figures of both papers and all options, :doc:`/cluster` runs thousands of trials,
# and :doc:`/reproduced` has the results.

assert len(list((folder / "trials").glob("*.json"))) == 15
assert days > 1
