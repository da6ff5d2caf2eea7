"""Each peer's configuration for the name `app.test:3000`, as its documentation says for names with several addresses. A
function writes what it needs into the folder and gives the program's arguments."""

import json


def loadbalancer(folder):
    config = {
        "listen": "127.0.0.1:8080",
        "backends": [{"url": "http://app.test:3000", "addresses": "each"}],
        "health_check": {"interval": "1s", "timeout": "1s"},
        "timeouts": {"resolve": "1s", "request": "2s"},
    }
    (folder / "lb.json").write_text(json.dumps(config))
    return ["--config", folder / "lb.json"]


def nginx(folder):
    """Without checks: those are in the commercial one."""
    (folder / "nginx.conf").write_text("""
        daemon off; master_process off; error_log nginx-error.log; pid nginx.pid;
        events {}
        http {
          access_log off; resolver 127.0.0.1 valid=1s;
          client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
          upstream app { zone app 64k; server app.test:3000 resolve; }
          server {
            listen 127.0.0.1:8080;
            location / { proxy_pass http://app; proxy_connect_timeout 2s; proxy_read_timeout 2s; }
          }
        }""")
    return ["-p", folder, "-c", folder / "nginx.conf", "-e", folder / "nginx-error.log"]


def haproxy(folder):
    (folder / "haproxy.cfg").write_text("""
resolvers local
    nameserver here 127.0.0.1:53
    hold valid 1s
    timeout resolve 1s
    timeout retry 1s
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 2s
    option redispatch
frontend in
    bind 127.0.0.1:8080
    default_backend app
backend app
    option httpchk GET /health
    default-server check inter 1s fall 2 rise 1 resolvers local init-addr none
    server-template app 5 app.test:3000
""")
    return ["-db", "-f", folder / "haproxy.cfg"]


def caddy(folder):
    """Addresses that come and go have no active checks there, only passive ones."""
    (folder / "Caddyfile").write_text("""
{
  admin off
  auto_https off
}
http://127.0.0.1:8080 {
  reverse_proxy {
    dynamic a app.test 3000 {
      refresh 1s
    }
    lb_policy round_robin
    lb_try_duration 4s
    fail_duration 10s
    transport http {
      dial_timeout 2s
      response_header_timeout 2s
    }
  }
}
""")
    return ["run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"]


def traefik(folder):
    """A server there is a URL, whatever addresses its name has."""
    (folder / "dynamic.yml").write_text("""
http:
  routers: { all: { rule: "PathPrefix(`/`)", service: app, middlewares: [again] } }
  middlewares: { again: { retry: { attempts: 3 } } }
  serversTransports: { soon: { forwardingTimeouts: { dialTimeout: 2s, responseHeaderTimeout: 2s } } }
  services:
    app:
      loadBalancer:
        serversTransport: soon
        servers: [ { url: "http://app.test:3000" } ]
        healthCheck: { path: /health, interval: 1s, timeout: 1s }
""")
    return ["--entryPoints.web.address=127.0.0.1:8080", f"--providers.file.filename={folder}/dynamic.yml",
            "--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"]


def envoy(folder):
    socket = lambda host, port: {"socket_address": {"address": host, "port_value": port}}
    router = {"name": "r", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}
    retry = {"retry_on": "connect-failure,reset,5xx", "num_retries": 2, "per_try_timeout": "2s"}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "10s", "retry_policy": retry}}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in", "http_filters": [router],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    check = {"timeout": "1s", "interval": "1s", "unhealthy_threshold": 2, "healthy_threshold": 1,
             "http_health_check": {"path": "/health"}}
    cluster = {
        "name": "app", "type": "STRICT_DNS", "connect_timeout": "2s", "respect_dns_ttl": True, "dns_lookup_family": "V4_ONLY",
        "health_checks": [check],
        "load_assignment": {"cluster_name": "app", "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": socket("app.test", 3000)}}]}]},
    }
    listener = {"address": socket("127.0.0.1", 8080), "filter_chains": [
        {"filters": [{"name": "http", "typed_config": manager}]}]}
    config = {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
    (folder / "envoy.json").write_text(json.dumps(config))
    return ["-c", folder / "envoy.json", "--concurrency", "2", "--disable-hot-restart", "--log-level", "warn"]


PEERS = {peer.__name__: peer for peer in [loadbalancer, nginx, haproxy, caddy, traefik, envoy]}
