"""The warning about layers that a call has emptied, and inputs and outputs that it has cut off."""

from __future__ import annotations

from collections.abc import Sequence

from torch.nn.utils.prune import BasePruningMethod

from torch_synflow._warnings import EmptiedLayersWarning, listed, warn_user
from torch_synflow.methods.balanced import BalancedSynFlowUnstructured
from torch_synflow.methods.synflow import SynFlowUnstructured
from torch_synflow.model.parameters import Entry
from torch_synflow.reachability.losses import Losses
from torch_synflow.report import PruningReport


def warn_of_emptied(
    entries: Sequence[Entry],
    report: PruningReport,
    found: Losses | None,
    method: type[BasePruningMethod],
    *,
    asked: bool,
) -> None:
    """Warn about what a call has emptied or cut off.

    This comes before the masks are attached, so the warning as an error changes nothing. If empty layers were ``asked``
    for, they are named only where something is cut off.
    """
    emptied = [e.label for e in entries if e.alive and e.label in report.empty_layers]
    cut_off = found.cut_off if found is not None else ()
    if not cut_off and (asked or not emptied):
        return
    findings = [f"nothing is left of {len(emptied)} of {len(entries)} layers: {listed(emptied)}"] if emptied else []
    bypassed = [name for name in emptied if name in report.bypassed]
    if bypassed:
        findings.append(f"bypassed by a shortcut: {'all' if bypassed == emptied else listed(bypassed)}")
    findings += cut_off
    advice = ["a smaller amount", "more iterations", "layer_densities=prune.erk"]
    if issubclass(method, SynFlowUnstructured):
        advice[2:] = [] if method.keep_layers else ["keep_layers = True in a subclass", *advice[2:]]
        if not issubclass(method, BalancedSynFlowUnstructured):
            advice.insert(0, "prune.BalancedSynFlow (on a network with branches)")
    warn_user(
        f"{method.__name__}: {'; '.join(findings)}; consider {', '.join(advice[:-1])} or {advice[-1]}",
        EmptiedLayersWarning,
    )
