"""A check that all ranks make the same call, and a description of differences."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from torch_synflow.parallel.ranks.meeting import Meeting, ranks_in_words

#: the number of differences that messages list
SHOWN = 6


def require_same(meeting: Meeting, description: Mapping[str, str]) -> None:
    """Raise one error on all ranks unless their descriptions are the same.

    Args:
        meeting: the ranks.
        description: the parts of the call on this rank, by name.

    Raises:
        ValueError: if descriptions differ. The message names the differences and their ranks.
    """
    digest = hashlib.sha256(repr(sorted(description.items())).encode()).hexdigest()
    if meeting.tell(len(set(meeting.collect(digest))) > 1):
        differences = meeting.tell(differences_of(meeting.collect(dict(description)), meeting.names))
        raise ValueError(f"{meeting.call}: expected the same on all ranks, got {differences}")


def differences_of(descriptions: Sequence[Mapping[str, str]], names: Sequence[int]) -> str:
    """The differences between the descriptions of ranks, in words.

    Example:
        >>> differences_of([{"amount": "0.5"}, {"amount": "0.9"}, {"amount": "0.5"}], [0, 1, 2])
        'amount: 0.5 on ranks 0, 2, 0.9 on rank 1'
    """
    found = []
    for item in dict.fromkeys(item for description in descriptions for item in description):
        ranks = defaultdict(list)
        for name, description in zip(names, descriptions, strict=True):
            ranks[description.get(item, "none")].append(name)
        if len(ranks) > 1:
            found.append(f"{item}: " + ", ".join(f"{value} on {ranks_in_words(them)}" for value, them in ranks.items()))
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(found[:SHOWN]) + more
