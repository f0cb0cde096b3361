"""Blocking work in a thread that is never left running behind its caller's back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from lightrag.finishing import to_the_end

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function in a thread; on cancellation wait for its end first.

    So a file is never closed or removed while a thread still writes to it. Meant for work that ends soon by itself.
    """
    return await to_the_end(asyncio.to_thread(function, *args, **kwargs))
