"""So many clients at once: text, fragments, 1 MiB, pings from both sides, a close; then one that says nothing."""

import asyncio
import os
import sys
import time

import websockets


async def echoed(socket, message, whole):
    await socket.send(message)
    answer = await asyncio.wait_for(socket.recv(), 20)
    assert answer == whole, f"another echo, of {len(answer)} for {len(whole)}"


async def talk(url, number):
    async with websockets.connect(url, ping_interval=None, max_size=1 << 21, compression=None) as socket:
        await echoed(socket, f"text {number}", f"text {number}")
        await echoed(socket, [b"in ", b"three ", b"frames"], b"in three frames")
        large = os.urandom(1 << 20)
        await echoed(socket, large, large)
        await asyncio.wait_for(await socket.ping(b"here"), 20)
        await echoed(socket, "ping me", "the pong came")
    assert socket.close_code == 1000, f"closed with {socket.close_code}"


async def be_quiet(url):
    async with websockets.connect(url, ping_interval=None) as socket:
        began = time.monotonic()
        try:
            await asyncio.wait_for(socket.recv(), 20)
        except websockets.ConnectionClosed:
            return time.monotonic() - began
    raise AssertionError("a message out of nothing")


async def main(url, count):
    await asyncio.gather(*(talk(url, number) for number in range(count)))
    print(f"{count} clients are content")
    print(f"cut after {int(1000 * await be_quiet(url))} ms")


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
