"""A backend on this port that takes 1.5 s for everything but /health, and answers /slow/big with 200 kB."""

import asyncio
import sys


async def serve(reader, writer):
    try:
        while True:
            path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
            if path != b"/health":
                await asyncio.sleep(1.5)
            body = b"x" * (200_000 if path == b"/slow/big" else 100)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    server = await asyncio.start_server(serve, None, int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
