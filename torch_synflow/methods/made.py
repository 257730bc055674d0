"""Classes made at run time, which pickle as the call that made them."""

from __future__ import annotations

import copyreg
from abc import ABCMeta
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Base = TypeVar("Base")


class MadeClass(ABCMeta):
    """The type of these classes: pickle finds other classes by their names, and these have no name in a module."""

    _recipe: tuple[Callable[..., Any], tuple[Any, ...]]


def make_class(
    name: str,
    base: type[Base],
    attributes: Mapping[str, Any],
    maker: Callable[..., Any],
    *arguments: Any,
) -> type[Base]:
    """A subclass of ``base``, which pickles as ``maker(*arguments)``; ``maker`` is a function of a module."""
    made: Any = MadeClass(name, (base,), {**attributes, "__module__": base.__module__, "_recipe": (maker, arguments)})
    return made  # type: ignore[no-any-return]


def _reduce(made: MadeClass) -> Any:
    # pickle finds a user's subclass of a made class by its name
    return vars(made).get("_recipe", made.__qualname__)


copyreg.pickle(MadeClass, _reduce)
