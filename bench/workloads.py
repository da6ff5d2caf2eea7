"""What is measured."""

from dataclasses import dataclass, field

SLOW_MS = 50
# Who can stand in each kind of workload. A peer that is not named in a kind has nothing to show in it: tiny_http
# and `base-plain` give each idle connection a thread, and have no TLS of their own.
ALL = None
TLS = ("ours", "base-front", "nginx", "haproxy", "envoy", "traefik", "caddy")
IDLE = ("ours", "base-front", "nginx", "haproxy", "envoy", "traefik", "caddy", "go")


@dataclass
class Workload:
    title: str
    connections: int
    path: str = "/small"
    answer_bytes: int | None = 70
    wrk: list = field(default_factory=list)
    script: list = field(default_factory=list)
    slow: bool = False
    tls: bool = False
    handshakes: bool = False
    # So many connections are only held; nothing else is measured then.
    idle: int = 0
    peers: tuple | None = ALL


WORKLOADS = {
    "small1": Workload("1 kept connection, small answers", 1),
    "small32": Workload("32 kept connections, small answers", 32),
    "small256": Workload("256 kept connections, small answers", 256),
    "close": Workload("a new connection for each request, 32 at once", 32, wrk=["-H", "Connection: close"]),
    "post4k": Workload("POST of 4 KiB, 32 connections", 32, script=["post"]),
    "get16k": Workload("answers of 16 KiB, 32 connections", 32, "/16k", 16 << 10),
    "get1m": Workload("answers of 1 MiB, 32 connections", 32, "/1m", 1 << 20),
    "slow256": Workload(f"256 connections, backends that take {SLOW_MS} ms", 256, "/slow", None, slow=True),
    "tls32": Workload("TLS 1.3, 32 kept connections, small answers", 32, tls=True, peers=TLS),
    "handshakes": Workload("a new TLS 1.3 connection with a whole handshake for each request, 32 at once", 32,
                           tls=True, handshakes=True, peers=TLS),
    "idle2000": Workload("idle connections, after one request each", 0, idle=2000),
    "idle10000": Workload("idle connections, after one request each", 0, idle=10_000, peers=IDLE),
    "idletls10000": Workload("idle TLS 1.3 connections, after one request each", 0, idle=10_000, tls=True, peers=TLS),
}


def takes_part(peer, workload):
    return (workload.peers is ALL or peer in workload.peers) and not (workload.idle and peer == "direct")
