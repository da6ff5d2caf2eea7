"""A WebSocket echo server (`serve PORT`, prints its port) and a client that plays with it (`play URL`),
both with the `websockets` library, for tests/e2e/upgrade.rs."""

import sys
from concurrent.futures import ThreadPoolExecutor

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import serve

LARGE = 1 << 20


def echo(connection):
    for message in connection:
        if message == "close":
            connection.close(4000, "as you wish")
            return
        connection.send(message)


def answer_probe(connection, request):
    return connection.respond(200, "well\n") if request.path == "/health" else None


def run_server(port):
    with serve(echo, "127.0.0.1", port, max_size=2 * LARGE, process_request=answer_probe) as server:
        print(server.socket.getsockname()[1], flush=True)
        server.serve_forever()


def connected(url):
    return connect(url, max_size=2 * LARGE, proxy=None)


def play(url):
    with connected(url) as connection:
        for number in range(100):
            connection.send(f"message {number}")
            assert connection.recv() == f"message {number}"
        for message in ("x" * LARGE, bytes(range(256)) * (LARGE // 256)):
            connection.send(message)
            assert connection.recv() == message
        connection.ping().wait(10)
    assert connection.close_code == 1000, connection.close_code

    # Both directions at once: the client sends on while it receives.
    with connected(url) as connection, ThreadPoolExecutor(1) as pool:
        receiving = pool.submit(lambda: [len(connection.recv()) for _ in range(20)])
        for _ in range(20):
            connection.send(b"x" * LARGE)
        assert receiving.result(30) == [LARGE] * 20

    # The server closes.
    with connected(url) as connection:
        connection.send("close")
        try:
            connection.recv()
            raise AssertionError("not closed")
        except ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4000, "as you wish"), closed
    print("all well")


if __name__ == "__main__":
    mode, argument = sys.argv[1:]
    run_server(int(argument)) if mode == "serve" else play(argument)
