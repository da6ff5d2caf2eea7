"""Python servers that are their own framework: `python_servers.py SERVER PORT`."""

import asyncio
import sys


def aiohttp(port):
    from aiohttp import web

    async def serve(request):
        if request.path == "/refuse":
            return web.Response(status=401, text="no\n")
        if request.path == "/slow":
            await asyncio.sleep(2)
        async for _ in request.content.iter_any():
            pass
        return web.Response(text="ok\n")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serve)
    web.run_app(app, host="127.0.0.1", port=port, print=None)


def tornado(port):
    import tornado.web

    class Handler(tornado.web.RequestHandler):
        async def get(self):
            if self.request.path == "/slow":
                await asyncio.sleep(2)
            if self.request.path == "/refuse":
                self.set_status(401)
            self.write("ok\n")

        post = get

    async def main():
        tornado.web.Application([(".*", Handler)]).listen(port, "127.0.0.1")
        await asyncio.Event().wait()

    asyncio.run(main())


def http_server(port):
    import time
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/slow":
                time.sleep(2)
            if self.path != "/refuse":
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(401 if self.path == "/refuse" else 200)
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"ok\n")

        do_POST = do_GET

    class KeptHandler(Handler):
        protocol_version = "HTTP/1.1"

    handler = KeptHandler if sys.argv[1] == "http_server_1_1" else Handler
    ThreadingHTTPServer(("127.0.0.1", port), handler).serve_forever()


if __name__ == "__main__":
    servers = {"aiohttp": aiohttp, "tornado": tornado, "http_server": http_server, "http_server_1_1": http_server}
    servers[sys.argv[1]](int(sys.argv[2]))
