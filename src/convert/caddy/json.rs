//! Reads Caddy's JSON into the directives of an equivalent Caddyfile.

use crate::convert::directive::Directive;
use crate::convert::report::{Place, Report, Verdict};
use crate::convert::text::MOST_DEPTH;
use crate::convert::tree::{self, Node};

struct Reader<'a> {
    file: &'a str,
    report: &'a mut Report,
    matchers: usize,
}

/// The sites of this text.
///
/// # Errors
/// What can't be read, with its line.
pub fn read(text: &str, file: &str, report: &mut Report) -> Result<Vec<Directive>, String> {
    let documents = tree::read(text, file)?;
    let root = documents.first().ok_or_else(|| format!("{file}: empty"))?;
    let mut reader = Reader { file, report, matchers: 0 };
    let mut sites = Vec::new();
    for (name, node) in root.entries() {
        match name.as_str() {
            "apps" => {}
            "admin" => {
                reader.note(node, name, Verdict::Differs, "the admin listener changes single backends")
            }
            "logging" => reader.note(node, name, Verdict::Differs, "access_log and event_log (LOGS.md)"),
            "storage" => reader.note(node, name, Verdict::Ignored, "Caddy's own"),
            _ => reader.note(node, name, Verdict::NotHere, "this word is not known here"),
        }
    }
    for (name, app) in root.get("apps").map_or(&[][..], Node::entries) {
        match name.as_str() {
            "http" => {
                for (server, node) in app.get("servers").map_or(&[][..], Node::entries) {
                    sites.push(reader.server(server, node));
                }
                for (other, node) in app.entries().iter().filter(|(other, _)| other != "servers") {
                    reader.note(
                        node,
                        &format!("apps.http.{other}"),
                        Verdict::NotHere,
                        "say it in a Caddyfile's words",
                    );
                }
            }
            "tls" | "pki" => reader.note(
                app,
                &format!("apps.{name}"),
                Verdict::NotHere,
                "certificates are files that certbot gets: LETS_ENCRYPT.md",
            ),
            _ => reader.note(app, &format!("apps.{name}"), Verdict::NotHere, "HTTP only"),
        }
    }
    Ok(sites)
}

impl Reader<'_> {
    fn note(&mut self, node: &Node, what: &str, verdict: Verdict, note: &str) {
        self.report.note(&Place { file: self.file.to_owned(), line: node.line }, what, verdict, note);
    }

    fn directive(
        &self,
        node: &Node,
        name: &str,
        args: Vec<String>,
        block: Option<Vec<Directive>>,
    ) -> Directive {
        Directive {
            place: Place { file: self.file.to_owned(), line: node.line },
            name: name.to_owned(),
            args,
            block,
        }
    }

    /// A site for a server's addresses, with a scheme that says whether they use TLS.
    fn server(&mut self, name: &str, node: &Node) -> Directive {
        let mut block = Vec::new();
        for (field, inner) in node.entries() {
            match field.as_str() {
                "listen" => {}
                "routes" => block = self.routes(inner, 0),
                "automatic_https" | "tls_connection_policies" | "logs" => {
                    self.note(
                        inner,
                        &format!("{name}.{field}"),
                        Verdict::Differs,
                        "certificates are files; LOGS.md",
                    );
                }
                _ => self.note(
                    inner,
                    &format!("{name}.{field}"),
                    Verdict::NotHere,
                    "say it in a Caddyfile's words",
                ),
            }
        }
        let address = |text: &&str| {
            let port = text.rsplit(':').next().unwrap_or("80");
            if port == "443" { format!("https://:{port}") } else { format!("http://:{port}") }
        };
        let listen = node.get("listen").map_or_else(Vec::new, Node::texts);
        let mut addresses = listen.iter().map(address);
        let first = addresses.next().unwrap_or_else(|| {
            self.note(
                node,
                &format!("{name}.listen"),
                Verdict::Differs,
                "no address, so that Caddy listens nowhere; here on :80",
            );
            "http://:80".to_owned()
        });
        self.directive(node, &first, addresses.collect(), Some(block))
    }

    /// The routes in order, each a `handle` with a matcher.
    fn routes(&mut self, node: &Node, depth: usize) -> Vec<Directive> {
        let mut all = Vec::new();
        for route in node.items() {
            let mut inner = Vec::new();
            for handler in route.get("handle").map_or(&[][..], Node::items) {
                inner.extend(self.handler(handler, depth));
            }
            let sets: &[Node] = route.get("match").map_or(&[], Node::items);
            if sets.is_empty() {
                all.push(self.directive(route, "handle", Vec::new(), Some(inner.clone())));
            }
            for set in sets {
                self.matchers += 1;
                let name = format!("@match{}", self.matchers);
                let conditions =
                    set.entries().iter().flat_map(|(name, node)| self.matcher(name, node)).collect();
                all.push(self.directive(set, &name, Vec::new(), Some(conditions)));
                all.push(self.directive(route, "handle", vec![name], Some(inner.clone())));
            }
        }
        all
    }

    /// The matchers for a part of a set, which all have to match.
    fn matcher(&self, name: &str, node: &Node) -> Vec<Directive> {
        let with =
            |args: Vec<&str>| self.directive(node, name, args.into_iter().map(str::to_owned).collect(), None);
        match name {
            "path_regexp" => vec![with(vec![node.get("pattern").map_or("", Node::text)])],
            "header" => {
                let field =
                    |(key, value): &(String, Node)| with([vec![key.as_str()], value.texts()].concat());
                node.entries().iter().map(field).collect()
            }
            "query" => {
                let parameter = |(key, value): &(String, Node)| {
                    let pairs = value.texts().into_iter().map(|value| format!("{key}={value}")).collect();
                    self.directive(node, name, pairs, None)
                };
                node.entries().iter().map(parameter).collect()
            }
            "remote_ip" | "client_ip" => {
                vec![with(node.get("ranges").map_or_else(Vec::new, Node::texts))]
            }
            "not" => {
                let inner = node.items().iter().flat_map(Node::entries);
                let block = inner.flat_map(|(name, node)| self.matcher(name, node)).collect();
                vec![self.directive(node, name, Vec::new(), Some(block))]
            }
            _ => vec![with(node.texts())],
        }
    }

    fn handler(&mut self, node: &Node, depth: usize) -> Vec<Directive> {
        let text = |name: &str| node.get(name).map_or("", Node::text).to_owned();
        let status = || node.get("status_code").map_or_else(|| "200".to_owned(), |it| it.text().to_owned());
        match text("handler").as_str() {
            "subroute" if depth < MOST_DEPTH => {
                node.get("routes").map_or_else(Vec::new, |routes| self.routes(routes, depth + 1))
            }
            "static_response" => {
                let location =
                    node.at("headers.Location").map(|it| it.texts().join("")).filter(|it| !it.is_empty());
                match location {
                    Some(to) => vec![self.directive(node, "redir", vec![to, status()], None)],
                    None => vec![self.directive(node, "respond", vec![text("body"), status()], None)],
                }
            }
            "reverse_proxy" => vec![self.proxy(node)],
            "headers" => {
                let mut lines = Vec::new();
                for (place, field) in self.fields(node.get("response")) {
                    let mut words = field.into_iter();
                    let name = words.next().unwrap_or_default();
                    lines.push(self.directive(place, &name, words.collect(), None));
                }
                let of_requests = self.fields(node.get("request")).into_iter();
                let mut all: Vec<Directive> = of_requests
                    .map(|(place, field)| self.directive(place, "request_header", field, None))
                    .collect();
                all.push(self.directive(node, "header", Vec::new(), Some(lines)));
                all
            }
            "encode" => {
                let args = node
                    .get("encodings")
                    .map_or(&[][..], Node::entries)
                    .iter()
                    .map(|(name, _)| name.clone())
                    .collect();
                vec![self.directive(node, "encode", args, None)]
            }
            "rewrite" if node.get("strip_path_prefix").is_some() => {
                vec![self.directive(
                    node,
                    "uri",
                    vec!["strip_prefix".to_owned(), text("strip_path_prefix")],
                    None,
                )]
            }
            other => vec![self.directive(node, other, Vec::new(), None)],
        }
    }

    /// The words for fields that are set, added and removed, with their nodes.
    fn fields<'n>(&self, node: Option<&'n Node>) -> Vec<(&'n Node, Vec<String>)> {
        let mut all = Vec::new();
        for (part, sign) in [("set", ""), ("add", "+")] {
            for (name, values) in node.and_then(|it| it.get(part)).map_or(&[][..], Node::entries) {
                all.push((values, vec![format!("{sign}{name}"), values.texts().join(", ")]));
            }
        }
        for name in node.and_then(|it| it.get("delete")).map_or(&[][..], Node::items) {
            all.push((name, vec![format!("-{}", name.text())]));
        }
        all
    }

    fn proxy(&mut self, node: &Node) -> Directive {
        let mut args = Vec::new();
        let mut block = Vec::new();
        for (field, inner) in node.entries() {
            let line = |name: &str, args: &[&str]| {
                self.directive(inner, name, args.iter().map(|it| (*it).to_owned()).collect(), None)
            };
            let text = |path: &str| inner.at(path).map(|it| it.text().to_owned());
            match field.as_str() {
                "handler" => {}
                "upstreams" => args
                    .extend(inner.items().iter().map(|it| it.get("dial").map_or("", Node::text).to_owned())),
                "load_balancing" => {
                    block.extend(text("selection_policy.policy").map(|it| line("lb_policy", &[&it])));
                    block.extend(text("retries").map(|it| line("lb_retries", &[&it])));
                }
                "health_checks" => {
                    for (from, to) in [
                        ("active.uri", "health_uri"),
                        ("active.path", "health_uri"),
                        ("active.port", "health_port"),
                        ("active.interval", "health_interval"),
                        ("active.timeout", "health_timeout"),
                        ("active.expect_status", "health_status"),
                        ("passive.fail_duration", "fail_duration"),
                        ("passive.max_fails", "max_fails"),
                    ] {
                        block.extend(text(from).map(|it| line(to, &[&it])));
                    }
                }
                "headers" => {
                    for (part, word) in [("request", "header_up"), ("response", "header_down")] {
                        for (place, field) in self.fields(inner.get(part)) {
                            block.push(self.directive(place, word, field, None));
                        }
                    }
                }
                "transport" => {
                    let mut lines = Vec::new();
                    if inner.get("tls").is_some() {
                        lines.push(line("tls", &[]));
                    }
                    lines.extend(text("dial_timeout").map(|it| line("dial_timeout", &[&it])));
                    lines.extend(
                        text("response_header_timeout").map(|it| line("response_header_timeout", &[&it])),
                    );
                    block.push(self.directive(inner, "transport", vec!["http".to_owned()], Some(lines)));
                }
                other => block.push(line(other, &[])),
            }
        }
        self.directive(node, "reverse_proxy", args, Some(block))
    }
}
