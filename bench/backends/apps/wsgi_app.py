"""The WSGI application behind the Python servers, and those of them that are started from Python:
`wsgi_app.py SERVER PORT`."""

import sys
import time

REFUSED = [("Content-Length", "3"), ("Content-Type", "text/plain")]


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/refuse":
        # Without a look at the body.
        start_response("401 Unauthorized", REFUSED)
        return [b"no\n"]
    if path == "/slow":
        time.sleep(2)
    body = environ["wsgi.input"]
    left = int(environ.get("CONTENT_LENGTH") or 0)
    while left > 0 and (piece := body.read(min(left, 65536))):
        left -= len(piece)
    start_response("200 OK", REFUSED)
    return [b"ok\n"]


def cheroot(port):
    from cheroot import wsgi
    wsgi.Server(("127.0.0.1", port), app).safe_start()


def gevent(port):
    from gevent import monkey, pywsgi
    monkey.patch_all()
    pywsgi.WSGIServer(("127.0.0.1", port), app, log=None).serve_forever()


def bjoern(port):
    import bjoern
    bjoern.run(app, "127.0.0.1", port)


def werkzeug(port):
    from werkzeug.serving import run_simple
    run_simple("127.0.0.1", port, app, threaded=True)


if __name__ == "__main__":
    {"cheroot": cheroot, "gevent": gevent, "bjoern": bjoern, "werkzeug": werkzeug}[sys.argv[1]](int(sys.argv[2]))
