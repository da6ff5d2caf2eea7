"""The proxies that are compared, and the backends. Each function writes what configuration its program needs and
returns its command line, and where needed its environment.

All of them: access log off, kept connections to the backends, backends in turn, two cores; by TLS version 1.3
only, one ECDSA P-256 certificate, and no sessions to resume, as far as a program can be told so.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

# Longer than any run, so that nobody measures reconnects.
FOREVER = 1_000_000_000
# More clients than any workload has.
CLIENTS = 16_384
IDLE_SECONDS = 600


@dataclass
class Certificate:
    chain: str
    key: str
    # Both in one file.
    both: str


@dataclass
class Stage:
    """What a proxy is to be started with."""
    folder: Path
    port: int
    backends: list
    programs: dict
    certificate: Certificate | None = None
    # A second port, for those that can't do without a plain listener.
    spare_port: int = 0
    descriptors: int = 1024
    # Whether the backends take their time.
    slow: bool = False

    def write(self, name, content):
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)


NGINX_COMMON = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log crit;
{user}
worker_processes {workers};
worker_rlimit_nofile {descriptors};
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    keepalive_requests {forever};
    keepalive_timeout {idle}s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{rest}
}}
"""


def nginx_with(stage, workers, rest):
    text = NGINX_COMMON.format(
        folder=stage.folder, workers=workers, user="user root;" if os.geteuid() == 0 else "", forever=FOREVER,
        idle=IDLE_SECONDS, connections=min(CLIENTS, stage.descriptors), descriptors=stage.descriptors, rest=rest)
    return [stage.programs["nginx"], "-p", str(stage.folder), "-e", str(stage.folder / "nginx-error.log"),
            "-c", stage.write("nginx.conf", text)]


def backend_nginx(stage, ports):
    """70 bytes for whatever is asked, and two files."""
    small = "x" * 69 + "\\n"
    for name, size in ("16k", 16 << 10), ("1m", 1 << 20):
        (stage.folder / name).write_bytes(b"x" * size)
    servers = "".join(
        f"""
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {stage.folder};
        sendfile on;
        tcp_nopush on;
        default_type text/plain;
        open_file_cache max=16;
        location / {{ return 200 "{small}"; }}
        location = /16k {{ }}
        location = /1m {{ }}
    }}"""
        for port in ports
    )
    return nginx_with(stage, 1, servers)


def balancer(program, **options):
    def start(stage):
        listeners = {"listen": f"127.0.0.1:{stage.port}"}
        if certificate := stage.certificate:
            pair = {"certificate": certificate.chain, "private_key": certificate.key}
            listeners = {"listen": f"127.0.0.1:{stage.spare_port}",
                         "tls": {"listen": f"127.0.0.1:{stage.port}", "certificates": [pair]}}
        config = {
            **options,
            **listeners,
            "backends": [{"url": f"http://{backend}"} for backend in stage.backends],
            "timeouts": {"backend_idle": "60s", "client_idle": f"{IDLE_SECONDS}s"},
            "limits": {"max_connections": CLIENTS},
            "access_log": False,
        }
        return [stage.programs[program], "--config", stage.write("lb.json", config)], {}
    return start


def floor(stage):
    # It has no rule which worker is woken, so the fewer there are, the better: with 256 it takes twice the CPU.
    # Each waits for its backend, so slow backends need as many as there are clients.
    workers = 256 if stage.slow else 8
    return [stage.programs["floor"], f"127.0.0.1:{stage.port}", str(workers), *stage.backends], {}


def nginx(stage):
    servers = " ".join(f"server {backend};" for backend in stage.backends)
    tls = "" if stage.certificate is None else f"""
        ssl_certificate {stage.certificate.chain};
        ssl_certificate_key {stage.certificate.key};
        ssl_protocols TLSv1.3;
        ssl_session_tickets off;
        ssl_session_cache off;"""
    return nginx_with(stage, 2, f"""
    upstream backends {{
        {servers}
        keepalive 128;
        keepalive_requests {FOREVER};
        keepalive_timeout 60s;
    }}
    server {{
        listen 127.0.0.1:{stage.port} {"ssl" if tls else ""} backlog=4096;{tls}
        location / {{
            proxy_pass http://backends;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_max_temp_file_size 0;
        }}
    }}"""), {}


def haproxy(stage):
    servers = "\n".join(f"    server b{index} {backend}" for index, backend in enumerate(stage.backends))
    tls = f"ssl crt {stage.certificate.both} ssl-min-ver TLSv1.3 no-tls-tickets" if stage.certificate else ""
    # It wants two descriptors for each of maxconn; idle clients have one.
    text = f"""
global
    nbthread 2
    maxconn {CLIENTS}
    ulimit-n {stage.descriptors}
    no strict-limits
    tune.ssl.cachesize 0
defaults
    mode http
    option forwardfor
    http-reuse always
    timeout connect 2s
    timeout client {IDLE_SECONDS}s
    timeout server 60s
    timeout http-keep-alive {IDLE_SECONDS}s
frontend clients
    maxconn {CLIENTS}
    bind 127.0.0.1:{stage.port} {tls} backlog 4096
    default_backend backends
backend backends
    balance roundrobin
{servers}
"""
    return [stage.programs["haproxy"], "-db", "-f", stage.write("haproxy.cfg", text)], {}


def envoy(stage):
    def address(host, port):
        return {"socket_address": {"address": host, "port_value": int(port)}}

    def typed(name, **fields):
        return {"@type": f"type.googleapis.com/envoy.extensions.{name}", **fields}

    endpoints = [{"endpoint": {"address": address(*backend.split(":"))}} for backend in stage.backends]
    most = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), CLIENTS)
    manager = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="clients", codec_type="HTTP1", use_remote_address=True,
        common_http_protocol_options={"idle_timeout": f"{IDLE_SECONDS}s"},
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "backends"}}]}]},
        http_filters=[{"name": "router", "typed_config": typed("filters.http.router.v3.Router")}])
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    if certificate := stage.certificate:
        chain["transport_socket"] = {"name": "tls", "typed_config": typed(
            "transport_sockets.tls.v3.DownstreamTlsContext",
            disable_stateless_session_resumption=True, disable_stateful_session_resumption=True,
            common_tls_context={
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                "tls_certificates": [{"certificate_chain": {"filename": certificate.chain},
                                      "private_key": {"filename": certificate.key}}]})}
    config = {"static_resources": {
        "listeners": [{"name": "clients", "address": address("127.0.0.1", stage.port), "tcp_backlog_size": 4096,
                       "filter_chains": [chain]}],
        "clusters": [{"name": "backends", "type": "STATIC", "lb_policy": "ROUND_ROBIN", "connect_timeout": "2s",
                      "circuit_breakers": {"thresholds": [most]},
                      "load_assignment": {"cluster_name": "backends", "endpoints": [{"lb_endpoints": endpoints}]}}]}}
    return [stage.programs["envoy"], "--concurrency", "2", "--disable-hot-restart", "--log-level", "error",
            "-c", stage.write("envoy.json", config)], {}


def traefik(stage):
    servers = [{"url": f"http://{backend}"} for backend in stage.backends]
    router = {"rule": "PathPrefix(`/`)", "service": "backends", "entryPoints": ["clients"]}
    routing = {"http": {
        "routers": {"all": router},
        "services": {"backends": {"loadBalancer": {"servers": servers, "serversTransport": "kept"}}},
        "serversTransports": {"kept": {"maxIdleConnsPerHost": 512,
                                       "forwardingTimeouts": {"idleConnTimeout": "60s"}}}}}
    if certificate := stage.certificate:
        router["tls"] = {}
        pair = {"certFile": certificate.chain, "keyFile": certificate.key}
        routing["tls"] = {"stores": {"default": {"defaultCertificate": pair}},
                          "options": {"default": {"minVersion": "VersionTLS13", "disableSessionTickets": True,
                                                  "alpnProtocols": ["http/1.1"]}}}
    config = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "ERROR"},
        "entryPoints": {"clients": {"address": f"127.0.0.1:{stage.port}", "transport": {
            "respondingTimeouts": {"idleTimeout": f"{IDLE_SECONDS}s"}}}},
        "providers": {"file": {"filename": stage.write("routing.json", routing), "watch": False}}}
    # It reads what is in this format whatever the name of the file says, as JSON is YAML too.
    return [stage.programs["traefik"], f"--configFile={stage.write('traefik.yml', config)}"], home(stage)


def caddy(stage):
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": backend} for backend in stage.backends],
        "load_balancing": {"selection_policy": {"policy": "round_robin"}},
        "transport": {"protocol": "http", "keep_alive": {"idle_timeout": "60s", "max_idle_conns_per_host": 512}}}
    server = {"listen": [f"127.0.0.1:{stage.port}"], "automatic_https": {"disable": True}, "protocols": ["h1"],
              "idle_timeout": f"{IDLE_SECONDS}s", "routes": [{"handle": [proxy]}]}
    apps = {"http": {"servers": {"clients": server}}}
    if certificate := stage.certificate:
        server["tls_connection_policies"] = [{"protocol_min": "tls1.3", "default_sni": "localhost"}]
        pair = {"certificate": certificate.chain, "key": certificate.key}
        apps["tls"] = {"certificates": {"load_files": [pair]}, "session_tickets": {"disabled": True}}
    config = {"admin": {"disabled": True, "config": {"persist": False}},
              "logging": {"logs": {"default": {"level": "ERROR"}}}, "apps": apps}
    return [stage.programs["caddy"], "run", "--config", stage.write("caddy.json", config)], home(stage)


def home(stage):
    return {name: str(stage.folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}


def go(stage):
    return [stage.programs["goproxy"], f"127.0.0.1:{stage.port}", *stage.backends], {}


# Ten rules about header fields, some with placeholders, and three routes: two that don't match, and one that does.
RULED = {
    "request_headers": {
        "set": {"X-Client": "{client}", "X-Request": "{request_id}", "X-Proto": "{scheme}", "X-Edge": "one"},
        "remove": ["X-Debug", "X-Internal"],
    },
    "response_headers": {
        "set": {"Strict-Transport-Security": "max-age=31536000", "X-Frame-Options": "DENY"},
        "remove": ["Server", "X-Powered-By"],
    },
    "routes": [
        {"host": "api.example.com", "path": "/v1", "pool": "default"},
        {"path": "/robots.txt", "respond": {"status": 404}},
        {"path": "/", "pool": "default"},
    ],
}

# In the order of the tables. `ruled` is ours with rules, `tiny` ours with tiny_http on the plain listener; the `base` ones are an older
# program of ours; `direct` is no proxy: the backends as they are.
PEERS = {
    "ours": balancer("ours"),
    "ruled": balancer("ours", **RULED),
    "tiny": balancer("ours", front=False),
    "base-plain": balancer("base", front=False),
    "base-front": balancer("base", front=True),
    "floor": floor,
    "nginx": nginx,
    "haproxy": haproxy,
    "envoy": envoy,
    "traefik": traefik,
    "caddy": caddy,
    "go": go,
    "direct": None,
}
