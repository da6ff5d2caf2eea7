"""The ASGI application behind uvicorn, hypercorn, daphne and granian."""

import asyncio

FIELDS = [(b"content-length", b"3"), (b"content-type", b"text/plain")]


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    refuses = scope["path"] == "/refuse"
    if scope["path"] == "/slow":
        await asyncio.sleep(2)
    if not refuses:
        while (await receive()).get("more_body"):
            pass
    await send({"type": "http.response.start", "status": 401 if refuses else 200, "headers": FIELDS})
    await send({"type": "http.response.body", "body": b"no\n" if refuses else b"ok\n"})
