"""What Faust's worker and its commands find in the places of Faust's own transport and producer."""

# pyright: basic
# Faust and mode are only partly typed; mypy checks this module strictly all the same.
from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pelton.shell.app import App

__all__ = ["BannerTransport", "CommandProducer"]


class BannerTransport:
    """What the worker's banner shows in the place of Faust's transport."""

    def __init__(self, description: str) -> None:
        self.driver_version = description


class CommandProducer:
    """What Faust's commands see as the producer: stopping it waits until all messages are durable."""

    started = True

    def __init__(self, app: App) -> None:
        self._app = app

    async def stop(self) -> None:
        """Wait for the messages under way, and let go of the log."""
        await self._app.close_log()

    async def flush(self) -> None:
        """Wait for the messages under way."""
        await self._app.sender.flush()
