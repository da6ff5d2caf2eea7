"""A client that sees what goes over the wire: answers, how a connection ends, and when."""

import select
import socket
import time

FIN, RST = "FIN", "RST"


class Ended(Exception):
    """The connection has ended where more was due; `how` says by what."""

    def __init__(self, how):
        super().__init__(how)
        self.how = how


class Silent(Exception):
    """Nothing came within the time."""


class Answer:
    def __init__(self, head):
        first, *fields = head.decode("latin-1").split("\r\n")
        self.version = first.split(" ")[0]
        self.status = int(first.split(" ")[1])
        self.fields = {}
        for field in fields:
            name, _, value = field.partition(":")
            self.fields[name.strip().lower()] = value.strip()
        self.body_bytes = 0

    @property
    def closes(self):
        connection = self.fields.get("connection", "").lower()
        return "close" in connection or (self.version == "HTTP/1.0" and "keep-alive" not in connection)


class Client:
    def __init__(self, port, timeout=5):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            raise Ended(RST) from None

    def get(self, path="/", method="GET", fields=""):
        self.send(f"{method} {path} HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n".encode())

    def more(self, timeout):
        """Whether more has come; `Ended` at the end."""
        if not select.select([self.socket], [], [], max(timeout, 0))[0]:
            return False
        try:
            piece = self.socket.recv(1 << 16)
        except (ConnectionResetError, BrokenPipeError):
            raise Ended(RST) from None
        if not piece:
            raise Ended(FIN)
        self.data += piece
        return True

    def answer(self, timeout=5):
        """The next final answer, with its body."""
        deadline = time.monotonic() + timeout
        while b"\r\n\r\n" not in self.data:
            if not self.more(deadline - time.monotonic()):
                raise Silent
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        answer = Answer(head)
        if 100 <= answer.status < 200:
            return self.answer(deadline - time.monotonic())
        self._body(answer, deadline)
        return answer

    def _body(self, answer, deadline):
        if "chunked" in answer.fields.get("transfer-encoding", "").lower():
            while not self.data.endswith(b"0\r\n\r\n"):
                if not self.more(deadline - time.monotonic()):
                    raise Silent
            answer.body_bytes, self.data = len(self.data), b""
            return
        length = answer.fields.get("content-length")
        while length is None or answer.body_bytes < int(length):
            answer.body_bytes += len(self.data)
            self.data = b""
            try:
                if (length is None or answer.body_bytes < int(length)) and \
                        not self.more(deadline - time.monotonic()):
                    raise Silent
            except Ended as ended:
                if length is None and ended.how == FIN:
                    return
                raise

    def end_within(self, seconds):
        """How the connection ended and after how long; nothing if it did not. What comes is let go."""
        begun = time.monotonic()
        while (left := begun + seconds - time.monotonic()) > 0:
            try:
                self.more(left)
            except Ended as ended:
                return ended.how, time.monotonic() - begun
        return None


def serves(port, timeout=2):
    """Whether a GET is answered with 200."""
    try:
        with Client(port, timeout) as client:
            client.get(fields="Connection: close\r\n")
            return client.answer(timeout).status == 200
    except (OSError, Ended, Silent, ValueError, IndexError):
        return False
