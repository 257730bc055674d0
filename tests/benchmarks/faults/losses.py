"""What is asked of the findings of trials."""

from __future__ import annotations

from benchmarks.faults.report import Finding


def nothing_lost(findings: list[Finding], command: str = "injected") -> None:
    """No finding has a violation, and nearly all reached their failure."""
    violated = "\n".join(str(finding) for finding in findings if finding.violations)
    assert not violated, f"{violated}\nrepeat with: python -m benchmarks.faults.{command} --only SEED"
    assert sum(finding.reached for finding in findings) > 0.8 * len(findings)
