"""One address for several workers, as a Service of Kubernetes is: each connection goes to the next of them, unread."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

#: A socket that is closed with it sends a reset, as the node does for a pod that is gone.
_RESET = struct.pack("ii", 1, 0)


class Balancer:
    """Hands connections out in turn.

    endpoints: the ports that they may go to; those of workers that are not ready any more are to be taken out.
    chosen: the port that each connection went to, whether it answered or not, by the client's own port.
    """

    def __init__(self, endpoints: Sequence[int]) -> None:
        self.endpoints = list(endpoints)
        self.chosen: dict[int, int] = {}
        self._turn = 0
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        self._open[writer] = asyncio.current_task()
        port = self.endpoints[self._turn % len(self.endpoints)]
        self._turn += 1
        self.chosen[writer.get_extra_info("peername")[1]] = port
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            asking = asyncio.create_task(_ask(reader, far_writer))
            try:
                await _copy(far_reader, writer)
            finally:
                asking.cancel()
                far_writer.close()
        except ConnectionError:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        finally:
            writer.close()
            del self._open[writer]

    async def end(self) -> None:
        """Cut all connections off."""
        tasks = [task for task in self._open.values() if task is not None]
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*tasks)


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what the client sends; where that fails, the worker's answer, or its end, says the rest."""
    with suppress(ConnectionError):
        await _copy(reader, writer)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what one side sends, to its end. Raises: ConnectionError when there is no orderly one."""
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


@asynccontextmanager
async def balanced(endpoints: Sequence[int]) -> AsyncIterator[tuple[Balancer, int]]:
    """Give a balancer over these ports, and its own."""
    balancer = Balancer(endpoints)
    server = await asyncio.start_server(balancer.connected, "127.0.0.1", 0)
    try:
        yield balancer, server.sockets[0].getsockname()[1]
    finally:
        await balancer.end()
        server.close()
        await server.wait_closed()
