"""Echoes every message; `ping me` is answered when a ping of the server's own has been."""

import asyncio
import logging
import sys

import websockets


async def echo(socket):
    async for message in socket:
        if message == "ping me":
            await asyncio.wait_for(await socket.ping(), 20)
            message = "the pong came"
        await socket.send(message)


async def main(address, port):
    # A health check that only connects is worth no line.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    async with websockets.serve(echo, address, port, ping_interval=None, max_size=1 << 21):
        await asyncio.Future()


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
