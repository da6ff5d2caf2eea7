"""Configurations of the servers that need a file."""

import os
import shutil
from pathlib import Path

APPS = Path(__file__).resolve().parent / "apps"
LARGE_BYTES = 64 << 20

APACHE = """
ServerRoot {folder}
ServerName a.test
Listen {address}
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
DefaultRuntimeDir {folder}
{user}
{modules}
DocumentRoot {folder}/www
<Directory {folder}/www>
    Require all granted
</Directory>
<Location /refuse>
    Require all denied
</Location>
<FilesMatch \.php$>
    SetHandler application/x-httpd-php
</FilesMatch>
FallbackResource /index.php
"""


def apache(place):
    folder = place.folder
    (folder / "www").mkdir()
    shutil.copy(APPS / "index.php", folder / "www")
    folder.chmod(0o755)
    files = Path("/usr/lib/apache2/modules")
    php = next((path.name for path in files.glob("libphp*.so")), "libphp.so")
    names = {name: f"mod_{name}.so" for name in ("mpm_prefork", "authz_core", "dir")} | {"php": php}
    modules = "\n".join(f"LoadModule {name}_module {files}/{file}" for name, file in names.items())
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    text = APACHE.format(folder=folder, address=place.address, modules=modules, user=user)
    (folder / "apache.conf").write_text(text)
    return ["/usr/sbin/apache2", "-D", "FOREGROUND", "-f", str(folder / "apache.conf")], {}


NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {address};
        root {folder};
        location / {{ return 200 "ok\\n"; }}
        location = /refuse {{ return 401 "no\\n"; }}
        location = /slow {{ limit_rate 1k; }}
    }}
}}
"""


def nginx(place, program):
    user = "user root;" if os.geteuid() == 0 else ""
    (place.folder / "slow").write_bytes(b"x" * 3000)
    text = NGINX.format(folder=place.folder, address=place.address, user=user)
    (place.folder / "nginx.conf").write_text(text)
    return [program, "-p", str(place.folder), "-e", str(place.folder / "error.log"),
            "-c", str(place.folder / "nginx.conf")], {}


CADDY = """{{
    admin off
    auto_https off
}}
http://:{port} {{
    bind 127.0.0.1
    respond /refuse "no" 401
    handle /large {{
        root {folder}
        file_server
    }}
    respond "ok"
}}
"""


def caddy(place, program):
    (place.folder / "large").write_bytes(b"x" * LARGE_BYTES)
    (place.folder / "Caddyfile").write_text(CADDY.format(folder=place.folder, port=place.port))
    return [str(program), "run", "--adapter", "caddyfile", "--config", str(place.folder / "Caddyfile")], {
        "HOME": str(place.folder)}


LIGHTTPD = """
server.bind = "127.0.0.1"
server.port = {port}
server.document-root = "{folder}"
server.upload-dirs = ( "{folder}" )
server.modules = ( "mod_access", "mod_rewrite", "mod_cgi" )
cgi.assign = ( ".sh" => "/bin/sh" )
url.rewrite-once = ( "^/refuse" => "/refuse", "^/slow" => "/slow.sh", "^/" => "/ok.sh" )
$HTTP["url"] == "/refuse" {{ url.access-deny = ( "" ) }}
"""


def lighttpd(place):
    folder = place.folder
    answer = "cat > /dev/null\nprintf 'Content-Type: text/plain\\r\\nContent-Length: 3\\r\\n\\r\\nok\\n'\n"
    (folder / "ok.sh").write_text(answer)
    (folder / "slow.sh").write_text("sleep 2\n" + answer)
    (folder / "lighttpd.conf").write_text(LIGHTTPD.format(folder=folder, port=place.port))
    return ["/usr/sbin/lighttpd", "-D", "-f", str(folder / "lighttpd.conf")], {}
