"""Sanic, which imports its application by name."""

import asyncio

from sanic import Sanic, text

app = Sanic("measured")


@app.route("/refuse", methods=["GET", "POST"], stream=True)
async def refuse(request):
    return text("no\n", status=401)


@app.get("/slow")
async def slow(request):
    await asyncio.sleep(2)
    return text("ok\n")


@app.route("/", methods=["GET", "POST"])
async def root(request):
    return text("ok\n")
