"""Starts a peer, puts a load on it, and says what that took."""

import contextlib
import http.client
import json
import resource
import socket
import ssl
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from peers import PEERS, Certificate, Stage
from processes import Child, Failure, free_port, machine_cpu_seconds

BENCH = Path(__file__).resolve().parent
WARM_UP_SECONDS = 1
START_LIMIT = 10
# Idle connections that fail before a peer is given up.
MAX_WRONG = 20
ERRORS = ("status", "connect", "read", "write", "timeout")


@dataclass
class Run:
    """One measurement of one peer."""
    rate: float
    p50: float
    p99: float
    cpu_us: float | None
    memory_mb: float | None
    errors: dict
    others: float


@dataclass
class IdleRun:
    """Memory in MB before and with idle connections, and how many of those went wrong."""
    before: float
    during: float
    count: int
    wrong: int

    @property
    def kib(self):
        return (self.during - self.before) * 1024 / self.count


@dataclass
class Bench:
    """What all measurements have in common."""
    folder: Path
    programs: dict
    descriptors: int
    seconds: int = 0
    certificate: Certificate | None = None

    def stage(self, name, port, backends=(), certificate=None, slow=False):
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        # nginx's workers may be another user.
        folder.chmod(0o755)
        return Stage(folder, port, [f"127.0.0.1:{backend}" for backend in backends], self.programs, certificate,
                     free_port() if certificate else 0, self.descriptors, slow)


def make_certificate(folder, openssl):
    """A certificate for localhost that signs itself, with an ECDSA key on P-256."""
    made = Certificate(str(folder / "chain.pem"), str(folder / "key.pem"), str(folder / "both.pem"))
    for argv in (
        ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", made.key],
        ["req", "-x509", "-new", "-key", made.key, "-subj", "/CN=localhost", "-days", "30", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", made.chain],
    ):
        done = subprocess.run([openssl, *argv], capture_output=True, text=True)
        if done.returncode:
            raise Failure(f"openssl {argv[0]} failed: {done.stderr.strip()[-200:]}")
    Path(made.both).write_text(Path(made.chain).read_text() + Path(made.key).read_text())
    return made


def tls_client(certificate):
    """TLS 1.3 and nothing else, with a server that has this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(certificate.chain)
    return context


def wait_until_ready(child, port, workload, certificate=None):
    """Until an answer comes that is as it should be."""
    deadline = time.monotonic() + START_LIMIT
    while True:
        child.check()
        try:
            if certificate:
                connection = http.client.HTTPSConnection("localhost", port, timeout=2, context=tls_client(certificate))
            else:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", workload.path)
            answer = connection.getresponse()
            length = len(answer.read())
            connection.close()
            found = f"status {answer.status} with {length} bytes"
            if answer.status == 200 and workload.answer_bytes in (None, length):
                return
        except (OSError, http.client.HTTPException) as error:
            found = str(error)
        if time.monotonic() > deadline:
            raise Failure(f"no right answer within {START_LIMIT} s, but {found}; {child.last_words()}")
        time.sleep(0.02)


def load(bench, port, workload, seconds):
    """Runs the client; gives what it reported."""
    if workload.handshakes:
        argv = [bench.programs["handshakes"], f"127.0.0.1:{port}", str(workload.connections), str(seconds),
                workload.path]
    else:
        scheme, host = ("https", "localhost") if workload.tls else ("http", "127.0.0.1")
        argv = [bench.programs["wrk"], "-t1", f"-c{workload.connections}", f"-d{seconds}s", "--timeout", "10s",
                *workload.wrk, "-s", str(BENCH / "wrk.lua"), f"{scheme}://{host}:{port}{workload.path}", "--",
                *workload.script]
    with Child("client", argv, bench.folder) as client:
        try:
            code = client.process.wait(seconds + 30)
        except subprocess.TimeoutExpired:
            raise Failure("the client does not end") from None
        lines = client.log.read_text().splitlines()
        if code or not lines or not lines[-1].startswith("{"):
            raise Failure(f"the client ended with status {code}: {client.last_words()}")
        return json.loads(lines[-1])


@contextlib.contextmanager
def running(bench, peer, ports, workload):
    """The peer, started and ready: its process (none for `direct`) and its port."""
    if PEERS[peer] is None:
        yield None, ports[0]
        return
    certificate = bench.certificate if workload.tls else None
    stage = bench.stage(peer, free_port(), ports, certificate, workload.slow)
    argv, env = PEERS[peer](stage)
    with Child(peer, argv, stage.folder, env) as child:
        wait_until_ready(child, stage.port, workload, certificate)
        yield child, stage.port


def measure(bench, peer, backends, ports, workload):
    with running(bench, peer, ports, workload) as (child, port):
        load(bench, port, workload, WARM_UP_SECONDS)

        def used():
            client = resource.getrusage(resource.RUSAGE_CHILDREN)
            own = child.cpu_seconds() if child else 0.0
            ours = own + sum(backend.cpu_seconds() for backend in backends) + client.ru_utime + client.ru_stime
            return time.monotonic(), own, machine_cpu_seconds() - ours

        began, cpu_before, others_before = used()
        report = load(bench, port, workload, bench.seconds)
        ended, cpu_after, others_after = used()
        if child:
            child.check()
        requests = max(report["requests"], 1)
        return Run(
            rate=report["requests"] / (report["micros"] / 1e6),
            p50=report["p50"] / 1000,
            p99=report["p99"] / 1000,
            cpu_us=(cpu_after - cpu_before) * 1e6 / requests if child else None,
            memory_mb=child.memory_kib() / 1024 if child else None,
            errors={kind: report[kind] for kind in ERRORS if report[kind]},
            others=max(0.0, (others_after - others_before) / (ended - began)),
        )


def measure_idle(bench, peer, ports, workload, count):
    with contextlib.ExitStack() as held:
        child, port = held.enter_context(running(bench, peer, ports, workload))
        before = child.memory_kib() / 1024
        request = f"GET {workload.path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode()
        context = tls_client(bench.certificate) if workload.tls else None
        connections, wrong = [], 0
        for _ in range(count):
            if wrong > MAX_WRONG:
                raise Failure(f"{wrong} of {wrong + len(connections)} connections went wrong; {child.last_words()}")
            connection = None
            try:
                connection = socket.create_connection(("127.0.0.1", port), timeout=5)
                # Else a request after a handshake waits for 40 ms: for the other side to acknowledge that.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if context:
                    connection = context.wrap_socket(connection, server_hostname="localhost")
                connection.sendall(request)
                answer = http.client.HTTPResponse(connection)
                answer.begin()
                wrong += answer.status != 200 or len(answer.read()) != workload.answer_bytes
                answer.close()
                # The socket is enough to hold the connection: what we know of the session takes memory.
                connections.append(held.enter_context(socket.socket(fileno=connection.detach())))
            except (OSError, http.client.HTTPException):
                wrong += 1
                if connection:
                    connection.close()
        time.sleep(0.5)
        during = child.memory_kib() / 1024
        child.check()
        for connection in connections:
            wrong += is_ended(connection)
        return IdleRun(before, during, count, wrong)


def is_ended(connection):
    connection.setblocking(False)
    try:
        # By TLS there may be tickets to read; nobody owes us anything else.
        while connection.recv(65536):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True
