"""Loading a library that takes seconds, when it is first needed, while the event loop goes on."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from importlib import import_module
from threading import Thread
from types import ModuleType

__all__ = ["load"]


async def load(name: str) -> ModuleType:
    """Import a module in a thread, which a worker that ends meanwhile does not wait for.

    It would wait for one of `asyncio.to_thread`. Raises: what the import raises.
    """
    loop = asyncio.get_running_loop()
    loaded: asyncio.Future[ModuleType] = loop.create_future()

    def run() -> None:
        try:
            settle = partial(loaded.set_result, import_module(name))
        except BaseException as error:
            settle = partial(loaded.set_exception, error)
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            loop.call_soon_threadsafe(lambda: loaded.done() or settle())

    Thread(target=run, name=f"load {name}", daemon=True).start()
    return await loaded
