"""The processes that the play is between: an ACME server with its name server, and the balancer's folder."""
import http.client
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time

from load import trusting

TREE = pathlib.Path(__file__).resolve().parents[2]
TOOLS = TREE / "target/acme"
PATIENCE = 30


def skip(why):
    print(f"SKIPPED tests/acme/run: {why}", file=sys.stderr)
    sys.exit(0)


def tool(name):
    return shutil.which(name) or shutil.which(name, path=TOOLS / "usr/bin") or skip(f"no {name}; tests/acme/install gets it")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, holds):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if found := holds():
                return found
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.02)
    sys.exit(f"{what}: not within {PATIENCE} s")


def said(work, log, text):
    return text in (work / log).read_text(errors="replace")


class Scene:
    """The processes, each with its log."""

    def __init__(self, work, binaries):
        self.work, self.binaries, self.processes = work, binaries, []
        self.ports = {name: free_port() for name in ("http", "tls", "app", "certbot", "acme", "roots", "dns", "dns_admin")}

    def start(self, log, *command, **how):
        with open(self.work / log, "wb") as file:
            self.processes.append(subprocess.Popen(command, cwd=self.work, stdout=file, stderr=file, **how))
        return self.processes[-1]

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        return [process.wait(PATIENCE) for process in self.processes]

    def configuration(self, block):
        """The page's, at our ports."""
        ports = self.ports
        text = block.replace("0.0.0.0:80", f"127.0.0.1:{ports['http']}").replace("0.0.0.0:443", f"127.0.0.1:{ports['tls']}")
        text = text.replace("127.0.0.1:8888", f"127.0.0.1:{ports['certbot']}").replace("/etc/letsencrypt", str(self.work / "le"))
        text = text.replace("http://127.0.0.1:3000", f"http://127.0.0.1:{ports['app']}")
        (self.work / "new.json").write_text(text)
        # At once, as an editor does it.
        (self.work / "new.json").rename(self.work / "lb.json")
        return json.loads(text)

    def acme_server(self):
        ports, work = self.ports, self.work
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=acme", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "acme.key", "-out", "acme.pem"],
            cwd=work, check=True, capture_output=True)
        settings = {"listenAddress": f"127.0.0.1:{ports['acme']}", "managementListenAddress": f"127.0.0.1:{ports['roots']}",
                    "certificate": "acme.pem", "privateKey": "acme.key", "httpPort": ports["http"], "tlsPort": ports["tls"]}
        (work / "pebble.json").write_text(json.dumps({"pebble": settings}))
        self.start("dns.log", tool("pebble-challtestsrv"), "-defaultIPv6", "", "-dns01", f"127.0.0.1:{ports['dns']}",
                   "-http01", "", "-https01", "", "-tlsalpn01", "", "-management", f"127.0.0.1:{ports['dns_admin']}")
        # Every certificate takes a challenge, and none waits for seconds first.
        how = {**os.environ, "PEBBLE_AUTHZREUSE": "0", "PEBBLE_VA_NOSLEEP": "1"}
        self.start("pebble.log", tool("pebble"), "-config", "pebble.json", "-dnsserver", f"127.0.0.1:{ports['dns']}", env=how)
        context = trusting((work / "acme.pem").read_text())

        def root():
            connection = http.client.HTTPSConnection("127.0.0.1", ports["roots"], context=context, timeout=5)
            connection.request("GET", "/roots/0")
            return connection.getresponse().read().decode()

        return until("the ACME server", root)

    def certbot(self, command):
        """The page's command, with our server and our folders."""
        program, *arguments = shlex.split(command)
        assert program == "certbot"
        folders = ["--config-dir", "le", "--work-dir", "le-work", "--logs-dir", "le-log"]
        if arguments[0] == "certonly":
            port = arguments.index("--http-01-port") + 1
            arguments[port] = str(self.ports["certbot"])
            folders += ["--server", f"https://127.0.0.1:{self.ports['acme']}/dir", "--agree-tos",
                        "--register-unsafely-without-email"]
        else:
            # At a terminal it would not sleep.
            folders += ["--no-random-sleep-on-renew"]
        how = {**os.environ, "REQUESTS_CA_BUNDLE": str(self.work / "acme.pem")}
        done = subprocess.run([TOOLS / "venv/bin/certbot", *arguments, *folders, "--non-interactive"],
                              cwd=self.work, env=how, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{command}: {done.stdout}{done.stderr}")

    def challenges(self):
        """How each was answered: its status, and whether it came by TLS."""
        lines = (self.work / "lb.log").read_text(errors="replace").splitlines()
        lines = [line for line in lines if "component=access" in line and "/.well-known/acme-challenge/" in line]
        words = [re.search(r"status=(\d+).* tls=(\S+)", line).groups() for line in lines]
        return [status if tls == "-" else f"{status} by {tls}" for status, tls in words]
