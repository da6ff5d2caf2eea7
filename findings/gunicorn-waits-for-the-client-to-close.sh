#!/usr/bin/env bash
# A sync worker of gunicorn 27.0.1 that has answered and ended its side of the connection serves nobody until the client
# ends its own side, or 2 s are over.
#
# Expected: it closes and takes the next request, as it says `Connection: close` with each answer.
# Seen on 2026-11-28, with one worker: a client that has its whole answer and is merely not quick to close makes the
# next one wait for 2.0 s; where it closes at once, the next is answered in a few milliseconds. So behind a proxy or a
# connection pool that puts closed connections away later, a worker serves one request in two seconds.
# Needs python3, and PyPI. Fails if that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet gunicorn==27.0.1
cat >"$folder/app.py" <<'PYTHON'
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
PYTHON
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import os, socket, subprocess, sys, time

folder = sys.argv[1]
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]


def ask():
    """The connection after a whole answer, which is still open on this side."""
    client = socket.create_connection(("127.0.0.1", port), 10)
    client.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"ok"), answer
    return client


def wait_until_it_serves():
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            return ask().close()
        except OSError:
            time.sleep(0.1)
    sys.exit("it does not serve")


log = open(f"{folder}/log", "wb")
program = subprocess.Popen([f"{folder}/venv/bin/gunicorn", "-w", "1", "-b", f"127.0.0.1:{port}", "app:app"],
                           cwd=folder, env={**os.environ, "HOME": folder}, stdout=log, stderr=log)
waits = {}
try:
    wait_until_it_serves()
    for closes in True, False:
        first = ask()
        if closes:
            first.close()
        begun = time.monotonic()
        ask().close()
        waits[closes] = time.monotonic() - begun
        first.close()
finally:
    program.terminate()
    program.wait()
print(f"the next answer comes after {waits[True]:.2f} s where the client before has closed, and after "
      f"{waits[False]:.2f} s where it has not")
sys.exit(0 if waits[True] < 0.5 and 1.5 < waits[False] < 3 else "this has changed")
PYTHON
