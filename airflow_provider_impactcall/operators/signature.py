"""Shows by name the options that a class passes on to its base."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

_Init = TypeVar("_Init", bound=Callable[..., None])


def names_options_of(base: type) -> Callable[[_Init], _Init]:
    """Gives an ``__init__`` that passes ``**kwargs`` on to a base class its full signature, so that ``help()``,
    ``default_args`` and ``.partial()`` see every option by name.
    """

    def name_them(init: _Init) -> _Init:
        own = inspect.signature(init).parameters
        handed_on = inspect.signature(base).parameters
        named = [own[name] for name in own if name != "kwargs"]
        named += [handed_on[name] for name in handed_on if name not in own]
        init.__signature__ = inspect.Signature([*named, own["kwargs"]])  # type: ignore[attr-defined]
        return init

    return name_them
