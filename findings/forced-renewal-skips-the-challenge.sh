#!/usr/bin/env bash
# certbot 5.8.0 renews by force past a challenge that nobody could answer: `--force-renewal` is no test of a balancer's
# route to certbot.
#
# Expected: a renewal that succeeds has shown that the question still finds its way to certbot.
# Seen on 2026-11-28 with Pebble 2.4.0, Let's Encrypt's test server: while the server remembers that the account may have
# the name (here always; by default Pebble does in half of all cases, and Let's Encrypt for days), the forced renewal
# succeeds though certbot listens where nothing leads, and nothing is asked. `--dry-run` forgets what the server remembers
# first, and fails as it should. So does a forced renewal where nothing is remembered.
# Needs python3, openssl, PyPI and Debian 12's packages. Fails if that changes.
set -eu
folder=$(mktemp -d)
pids=""
trap 'kill $pids 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet certbot==5.8.0
cd "$folder"
apt-get download -qq "pebble=2.4.0+ds1-2+b4" >/dev/null
dpkg-deb -x pebble_*.deb .
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=acme \
    -addext subjectAltName=IP:127.0.0.1 -keyout acme.key -out acme.pem 2>/dev/null
# The server, its pages, its name server and that one's, the port that is asked, and one that is not.
read -r acme pages dns dns_admin asked other < <(python3 - <<'PYTHON'
import socket
all = [socket.create_server(("127.0.0.1", 0)) for _ in range(6)]
print(*(one.getsockname()[1] for one in all))
PYTHON
)
cat >pebble.json <<JSON
{ "pebble": { "listenAddress": "127.0.0.1:$acme", "managementListenAddress": "127.0.0.1:$pages",
  "certificate": "acme.pem", "privateKey": "acme.key", "httpPort": $asked, "tlsPort": 1 } }
JSON
usr/bin/pebble-challtestsrv -defaultIPv6 "" -dns01 "127.0.0.1:$dns" -http01 "" -https01 "" -tlsalpn01 "" \
    -management "127.0.0.1:$dns_admin" >dns.log 2>&1 &
pids=$!

# The server, and a first certificate from it.
serve() {
    PEBBLE_VA_NOSLEEP=1 PEBBLE_AUTHZREUSE=$1 usr/bin/pebble -config pebble.json -dnsserver "127.0.0.1:$dns" \
        >pebble.log 2>&1 &
    server=$!
    pids="$pids $server"
    for _ in $(seq 100); do
        python3 -c "import socket; socket.create_connection(('127.0.0.1', $acme))" 2>/dev/null && break
        sleep 0.1
    done
    rm -rf le
    certbot certonly --standalone --http-01-port "$asked" -d www.example.com --agree-tos \
        --register-unsafely-without-email --server "https://127.0.0.1:$acme/dir"
}
certbot() {
    REQUESTS_CA_BUNDLE="$folder/acme.pem" venv/bin/certbot "$@" --http-01-address 127.0.0.1 --non-interactive \
        --config-dir le --work-dir work --logs-dir log >certbot.log 2>&1
}
# How a renewal ends, and how often the server asked for it.
renewal() {
    before=$(grep -c "Attempting to validate" pebble.log || true)
    ended=failed
    certbot renew "$@" --no-random-sleep-on-renew --http-01-port "$other" && ended=succeeded
    echo "$ended, asked $(($(grep -c "Attempting to validate" pebble.log || true) - before)) times"
}

serve 100
forced=$(renewal --force-renewal)
# Without --server it would ask Let's Encrypt's staging server, whoever the certificate came from.
dry=$(renewal --dry-run --server "https://127.0.0.1:$acme/dir")
kill "$server"
wait "$server" 2>/dev/null || true
serve 0
forgotten=$(renewal --force-renewal)
# Once in a while Pebble remembers all the same.
[ "$forgotten" != "$forced" ] || forgotten=$(renewal --force-renewal)
echo "remembered, --force-renewal: $forced"
echo "remembered, --dry-run: $dry"
echo "not remembered, --force-renewal: $forgotten"
[ "$forced" = "succeeded, asked 0 times" ] && [ "$dry" = "failed, asked 3 times" ] &&
    [ "$forgotten" = "failed, asked 3 times" ] || { echo "this has changed" >&2; exit 1; }
