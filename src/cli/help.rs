//! The texts of `--help`, alone and after a command.

/// The text of `--help`.
pub const HELP: &str = "\
An HTTP/1.1 load balancer in one small binary.

usage: loadbalancer [--config FILE] [--pid-file FILE]
                                      run until Ctrl-C, then drain; the pid file has the number of the
                                      process that signals go to, after SIGUSR2 the same
       loadbalancer check [--quiet] [FILE]
                                      read and check a configuration, print what it resolves to; warn of
                                      consequences that are probably unintended. FILE may be - for standard input;
                                      --quiet prints mistakes and warnings only
       loadbalancer check --probe [FILE]
                                      ask every backend: does it resolve, connect, pass its health check,
                                      and how long does it keep idle connections?
       loadbalancer demo              three embedded backends and a balancer before them, with its
                                      dashboard: nothing to set up
       loadbalancer replay LOG... [--config FILE] [--algorithm NAME|all] [--without BACKEND]
                              [--time-field PLACE:UNIT]
                                      an access log through the code that chooses backends: who would
                                      get how much; LOG is ours, nginx's, Apache's, HAProxy's, Caddy's,
                                      Traefik's, Envoy's or an AWS load balancer's, plain or .gz, or - for
                                      standard input
       loadbalancer convert FILE [--from nginx|haproxy|caddy|traefik] [--release VERSION] [--report json]
                                      another program's configuration as ours, and what became of each
                                      of its lines
       loadbalancer drill [--config FILE] [SCENARIO...]
                                      the balancer over backends that fail on purpose: are all promises
                                      kept with this configuration? About a minute
       loadbalancer explain --id ID | --slowest N | --client ADDRESS [--path P] [--host H] [--config FILE]
                                      ask the running balancer, by its admin listener: why did the request
                                      with this X-Request-ID go where it went, which of the last ones took
                                      longest, and with what; or where would one go now?
       loadbalancer health [--config FILE]
                                      ask the running balancer's /lb-health: exit status 0, or 1 with the reason
       loadbalancer --help | --version
       loadbalancer COMMAND --help    more about a command

The configuration comes from --config, else from the file that LB_CONFIG names, else from built-in
defaults: listen on 0.0.0.0:8080, backends http://localhost:3001 to 3003.

environment:
  LB_CONFIG     configuration file
  LB_ALGORITHM  overrides `algorithm`: round_robin, least_conn, ip_hash, power_of_two, consistent_hash
  LB_LISTEN     overrides `listen`, for example 127.0.0.1:8080
  LB_DEBUG=1    log debug events

While it runs: http://localhost:8080/lb-dashboard in a browser; curl http://localhost:8080/lb-metrics, /lb-health
Exit status: 0 after a clean drain, 1 for a failure at run time, 2 for usage or an invalid configuration.
A drill exits with 1 where a promise was broken, check --probe where a backend does not answer, health where
no requests should come.
";

/// The help text of a command; `None` if there is no such command.
pub(super) fn of(command: &str) -> Option<&'static str> {
    Some(match command {
        "check" => CHECK,
        "demo" => DEMO,
        "replay" => REPLAY,
        "convert" => CONVERT,
        "drill" => DRILL,
        "explain" => EXPLAIN,
        "health" => HEALTH,
        _ => return None,
    })
}

const CONVERT: &str = "\
Writes the configuration of another program as ours to standard output, and to standard error what became of
each of its lines: same, differs (and how), not here (and what instead), ignored (and why).

usage: loadbalancer convert FILE [--from PROGRAM] [--release VERSION] [--report json]

  FILE               nginx.conf (with what it includes), haproxy.cfg, a Caddyfile, Caddy's JSON, Traefik's
                     YAML (static, dynamic, or both in one folder); - is standard input
  --from PROGRAM     nginx, haproxy, caddy or traefik, where the file does not tell
  --release VERSION  whose defaults it relies on; without it those of the releases of November 2026
  --report json      the report as a list of objects

What the old file does not say but relies on is told, too. Nothing is sent anywhere. Exit status: 0 if all is
the same or differs as told, 3 if something is not here, 2 if the file can't be read.

  loadbalancer convert /etc/nginx/nginx.conf > lb.json
";
const CHECK: &str = "\
Reads and checks a configuration and prints what it resolves to, every default included.

usage: loadbalancer check [--probe] [--quiet] [FILE | --config FILE]

  FILE         the configuration; - is standard input. Without one: the file that LB_CONFIG names, else
               the built-in defaults
  --probe      ask every backend: does it resolve, connect, pass its health check, and how long does it
               keep idle connections?
  -q, --quiet  print mistakes and warnings only

Every mistake is named with its field, its line and what would be right. Warnings are of what is valid and
probably unintended. Exit status: 0 if it can be used, 1 if a backend does not answer (--probe), 2 for a mistake.

  loadbalancer check lb.json
  loadbalancer check -q lb.json && systemctl reload loadbalancer
";

const DEMO: &str = "\
Starts three embedded backends on free ports and a balancer before them, on port 8080 if that is free, and
prints the addresses, what to try and where the dashboard is. Ctrl-C drains and ends it.

usage: loadbalancer demo
";

const REPLAY: &str = "\
Takes an access log through the code that chooses backends: who would get how much?

usage: loadbalancer replay LOG... [--config FILE] [--algorithm NAME|all] [--without BACKEND]...
                           [--time-field PLACE:UNIT]

  LOG                  ours, nginx's, Apache's, HAProxy's, Caddy's, Traefik's, Envoy's, or that of AWS; also .gz;
                       - is standard input; several are read in order
  -c, --config FILE    whose backends; else the file that LB_CONFIG names, else the built-in defaults
  --algorithm NAME     instead of the configured one: round_robin, least_conn, ip_hash, power_of_two,
                       consistent_hash, or all of them
  --without BACKEND    as though this one were not there; may be repeated
  --time-field PLACE:UNIT[:begin]
                       the word of a line that says how long its request took (-1 is the last one), and its unit:
                       s, ms, us or ns; with :begin the line's time is that of the beginning, as Apache's is

  loadbalancer replay access.log --config lb.json --algorithm all
";

const DRILL: &str = "\
Runs the balancer over backends that fail on purpose and says which promises are kept with this
configuration. Takes about a minute; touches none of the configured backends.

usage: loadbalancer drill [--config FILE] [SCENARIO...]

  -c, --config FILE  whose settings; else the file that LB_CONFIG names, else the built-in defaults
  SCENARIO           refuse, reset-before-head, reset-after-head, half-a-body, stall, flap, all-down, reload,
                     drain; all of them where none is named

Exit status: 0 if every promise was kept, 1 if one was broken.
";

const EXPLAIN: &str = "\
Asks the running balancer, by its admin listener, why a request went where it went, or where one would go now.

usage: loadbalancer explain --id ID [--config FILE]
       loadbalancer explain --slowest N [--config FILE]
       loadbalancer explain --client ADDRESS [--path P] [--host H] [--config FILE]

  --id ID            the X-Request-ID of a request that was answered
  --slowest N        which of the last requests took longest, and with what?
  --client ADDRESS   where would a request of this client go now?
  --path P           its path, where routes or hashes depend on it
  --host H           its host, likewise
  -c, --config FILE  says where the admin listener is; else the file that LB_CONFIG names
";

const HEALTH: &str = "\
Asks the running balancer's /lb-health: can a backend take a request, and is no drain under way? For a
container's health check, which knows no more than an exit status.

usage: loadbalancer health [--config FILE]

  -c, --config FILE  says where it listens; else the file that LB_CONFIG names, else 0.0.0.0:8080

The listeners of `listen` are asked in their order (those on all addresses on 127.0.0.1; with `proxy_protocol` by a
PROXY header that says UNKNOWN), then the admin listener; the first that answers decides. It takes 3 seconds at
most. Exit status: 0 and ok, 1 and the reason in a line, 2 for usage or a file that does not say where to ask.

  HEALTHCHECK CMD [\"/loadbalancer\", \"health\", \"--config\", \"/etc/loadbalancer/config.json\"]
";
