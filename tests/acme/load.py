"""Clients that ask all the time, and remember each answer that was not right."""
import http.client
import socket
import ssl
import threading
import time

HOST = "www.example.com"
# Between two requests of a client: enough for a hundred handshakes a second, and for others on the machine.
PAUSE = 0.01


class Client(threading.Thread):
    """Sends requests until it is stopped; a failed one counts and is told, and does not end it."""

    def __init__(self, port, context=None, keeps=False):
        super().__init__(daemon=True)
        self.port, self.context, self.keeps = port, context, keeps
        self.connection, self.connections, self.answers, self.failures = None, 0, {}, []
        # When which certificate was seen first in a handshake: its serial number, and the time.
        self.serials = {}
        self.running = threading.Event()
        self.running.set()
        self.start()

    def run(self):
        while self.running.is_set():
            try:
                status = self.ask()
                self.answers[status] = self.answers.get(status, 0) + 1
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                self.connection = None
            time.sleep(PAUSE)

    def ask(self):
        if self.connection is None:
            self.connection = self.connect()
        self.connection.request("GET", "/", headers={"Host": HOST} if self.keeps else {"Host": HOST, "Connection": "close"})
        answer = self.connection.getresponse()
        answer.read()
        if not self.keeps:
            self.connection.close()
            self.connection = None
        return answer.status

    def connect(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.sock = socket.create_connection(("127.0.0.1", self.port), 10)
        # http.client would open another one by itself.
        connection.auto_open = 0
        if self.context:
            connection.sock = self.context.wrap_socket(connection.sock, server_hostname=HOST)
            self.serials.setdefault(connection.sock.getpeercert()["serialNumber"], time.time())
        self.connections += 1
        return connection

    def stop(self):
        """The answers by their status, and the number of connections."""
        self.running.clear()
        self.join()
        return self.answers, self.connections


def trusting(root):
    return ssl.create_default_context(cadata=root)
