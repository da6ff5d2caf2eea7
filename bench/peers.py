"""The proxies that are compared, and the backends. Each function writes what configuration its program
needs into `folder` and returns its command line, and where needed its environment.

All of them: access log off, kept connections to the backends, backends in turn, two cores.
"""

import json
import os
import textwrap

# Longer than any run, so that nobody measures reconnects.
FOREVER = 1_000_000_000

NGINX_COMMON = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log crit;
{user}
worker_processes {workers};
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests {forever};
    keepalive_timeout 600s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{rest}
}}
"""


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return str(path)


def nginx_with(folder, workers, rest):
    user = "user root;" if os.geteuid() == 0 else ""
    text = NGINX_COMMON.format(folder=folder, workers=workers, user=user, forever=FOREVER, rest=rest)
    return ["nginx", "-p", str(folder), "-e", str(folder / "nginx-error.log"),
            "-c", write(folder, "nginx.conf", text)]


def backend_nginx(folder, ports):
    """70 bytes for whatever is asked, and two files."""
    small = "x" * 69 + "\\n"
    for name, size in ("16k", 16 << 10), ("1m", 1 << 20):
        (folder / name).write_bytes(b"x" * size)
    servers = "".join(
        f"""
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {folder};
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
    return nginx_with(folder, 1, servers)


def ours(folder, port, backends, programs, **options):
    config = {
        **options,
        "listen": f"127.0.0.1:{port}",
        "backends": [{"url": f"http://{backend}"} for backend in backends],
        "timeouts": {"backend_idle": "60s"},
        "access_log": False,
    }
    return [programs["ours"], "--config", write(folder, "lb.json", json.dumps(config))], {}


def front(folder, port, backends, programs):
    return ours(folder, port, backends, programs, front=True)


def floor(folder, port, backends, programs):
    return [programs["floor"], f"127.0.0.1:{port}", "256", *backends], {}


def nginx(folder, port, backends, programs):
    servers = " ".join(f"server {backend};" for backend in backends)
    return nginx_with(folder, 2, f"""
    upstream backends {{
        {servers}
        keepalive 128;
        keepalive_requests {FOREVER};
        keepalive_timeout 60s;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://backends;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_max_temp_file_size 0;
        }}
    }}"""), {}


def haproxy(folder, port, backends, programs):
    servers = "\n".join(f"    server b{index} {backend}" for index, backend in enumerate(backends))
    text = f"""
global
    nbthread 2
    maxconn 8192
defaults
    mode http
    option forwardfor
    http-reuse always
    timeout connect 2s
    timeout client 600s
    timeout server 60s
    timeout http-keep-alive 600s
frontend clients
    bind 127.0.0.1:{port} backlog 4096
    default_backend backends
backend backends
    balance roundrobin
{servers}
"""
    return ["haproxy", "-db", "-f", write(folder, "haproxy.cfg", text)], {}


def caddy(folder, port, backends, programs):
    text = textwrap.dedent(f"""\
        {{
            admin off
            auto_https off
            log {{
                level ERROR
            }}
        }}
        http://127.0.0.1:{port} {{
            bind 127.0.0.1
            reverse_proxy {' '.join(backends)} {{
                lb_policy round_robin
                transport http {{
                    keepalive 60s
                    keepalive_idle_conns_per_host 512
                }}
            }}
        }}
        """)
    home = {name: str(folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    return ["caddy", "run", "--adapter", "caddyfile", "--config", write(folder, "Caddyfile", text)], home


def go(folder, port, backends, programs):
    return [programs["go"], f"127.0.0.1:{port}", *backends], {}


# In the order of the table. `front` is ours behind its checking front. `direct` is no proxy: the backends as they are.
PEERS = {
    "ours": ours, "front": front, "floor": floor, "nginx": nginx, "haproxy": haproxy, "caddy": caddy, "go": go,
    "direct": None,
}
