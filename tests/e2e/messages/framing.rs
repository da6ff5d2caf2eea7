//! Requests byte by byte: what is refused, what of it never becomes a request, and what is passed on as
//! it came. The cases are the files in `tests/cases/framing`, whose README says how to read them.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::{Answer, Backend, Balancer, Behaviour, Client, config};

/// Stands behind every request that is refused, and must never become one.
const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: smuggled.example\r\n\r\n";

/// One file.
struct Case {
    outcomes: Vec<Outcome>,
    /// The same where tiny_http accepts, where that differs.
    outcomes_on_tiny: Option<Vec<Outcome>>,
    /// What the backend's side of it must contain.
    at_backend: Vec<Vec<u8>>,
    request: Vec<u8>,
}

/// What the client sees, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Answer { status: u16, reason: Option<String> },
    Closed,
}

impl Case {
    fn read(path: &Path) -> Case {
        let text = std::fs::read_to_string(path).unwrap();
        let (directives, request) = text.split_once("\n\n").expect("an empty line before the request");
        let mut case = Case {
            outcomes: Vec::new(),
            outcomes_on_tiny: None,
            at_backend: Vec::new(),
            request: bytes(request),
        };
        for line in directives.lines().filter(|line| !line.starts_with('#')) {
            match line.split_once(": ").expect("name: value") {
                ("expect", outcomes) => case.outcomes = outcomes.split(", ").map(Outcome::read).collect(),
                ("tiny", "nothing") => case.outcomes_on_tiny = Some(Vec::new()),
                ("tiny", outcomes) => {
                    case.outcomes_on_tiny = Some(outcomes.split(", ").map(Outcome::read).collect());
                }
                ("backend", text) => case.at_backend.push(unescaped(text)),
                (name, _) => panic!("{name:?} is no directive"),
            }
        }
        assert!(!case.outcomes.is_empty(), "nothing is expected");
        case
    }

    fn on_tiny(mut self) -> Case {
        if let Some(outcomes) = self.outcomes_on_tiny.take() {
            self.outcomes = outcomes;
        }
        self
    }

    fn relayed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.is_relayed()).count()
    }

    /// The head of a request with a broken body is on its way before that can be known.
    fn may_begin_at_backend(&self) -> bool {
        self.outcomes.iter().any(|outcome| outcome.word().is_some_and(|word| word.starts_with("body_")))
    }
}

impl Outcome {
    fn read(text: &str) -> Outcome {
        if text == "closed" {
            return Outcome::Closed;
        }
        let (status, reason) = text.split_once(' ').unwrap_or((text, "-"));
        let reason = Some(reason.to_owned()).filter(|reason| reason != "-");
        Outcome::Answer { status: status.parse().expect("a status"), reason }
    }

    fn is_relayed(&self) -> bool {
        matches!(self, Outcome::Answer { status: 200..300, .. })
    }

    fn word(&self) -> Option<&str> {
        match self {
            Outcome::Answer { reason, .. } => reason.as_deref(),
            Outcome::Closed => None,
        }
    }
}

/// Lines as they are sent: each ends in CRLF, unless a backslash stands at its end.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in text.lines() {
        match line.strip_suffix('\\') {
            Some(line) => bytes.extend(unescaped(line)),
            None => bytes.extend([&unescaped(line)[..], b"\r\n"].concat()),
        }
    }
    bytes
}

fn unescaped(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        let (code, after) = rest.split_first().expect("a letter behind the backslash");
        rest = after;
        bytes.push(match code {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let (digits, after) = rest.split_at(2);
                rest = after;
                u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).expect("two hex digits")
            }
            other => panic!("\\{} is no escape", char::from(*other)),
        });
    }
    bytes
}

/// Plays one case; says what is wrong.
fn play(case: &Case, balancer: &Balancer, backend: &Backend) -> Result<(), String> {
    let (heads, whole) = (backend.heads(), backend.asked().len());
    let mut client = balancer.connect();
    client.send(&case.request);
    // A request that is still waited for would have this for its rest.
    let waited_for = case.outcomes.iter().any(|outcome| outcome.word() == Some("header_timeout"));
    let refused = case.outcomes.iter().any(|outcome| !outcome.is_relayed());
    if refused && !waited_for {
        client.send_if_open(SMUGGLED);
    }
    for expected in &case.outcomes {
        see(expected, &mut client)?;
    }
    if !refused {
        client.ask("GET", "/next", &[], b"");
        see(&Outcome::Answer { status: 200, reason: None }, &mut client)
            .map_err(|wrong| format!("the next request: {wrong}"))?;
    }
    let relayed = case.relayed() + usize::from(!refused);
    let asked = backend.asked().split_off(whole);
    if asked.len() != relayed {
        return Err(format!("the backend got {} requests, not {relayed}", asked.len()));
    }
    if backend.heads() - heads != relayed && !case.may_begin_at_backend() {
        return Err("a request began at the backend".into());
    }
    let seen = asked.iter().flat_map(|asked| asked.raw.clone()).collect::<Vec<u8>>();
    let missing = case.at_backend.iter().find(|text| case.relayed() > 0 && !contains(&seen, text));
    missing.map_or(Ok(()), |text| Err(format!("the backend got no {text:?} but {seen:?}")))
}

fn see(expected: &Outcome, client: &mut Client) -> Result<(), String> {
    let Outcome::Answer { status, reason } = expected else {
        let more = client.try_read_to_close()?;
        return if more.is_empty() { Ok(()) } else { Err(format!("then {more:?} instead of the end")) };
    };
    let answer = client.try_read_response_to("GET").map_err(|error| format!("no answer: {error}"))?;
    if (answer.status, answer.header("x-lb-reason")) != (*status, reason.as_deref()) {
        return Err(format!("{:?}", String::from_utf8_lossy(&answer.raw)));
    }
    if expected.is_relayed() {
        return Ok(());
    }
    if reason.is_some() && answer.header("connection") != Some("close") {
        return Err("it does not say that it closes".into());
    }
    see(&Outcome::Closed, client)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/framing");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "http"));
    files.sort();
    assert!(files.len() > 40, "{} cases", files.len());
    files
}

/// Plays these cases over a balancer of their own; says what is wrong with which.
fn play_all(cases: &[(PathBuf, Case)], front: bool) -> Vec<String> {
    let backend = Backend::that(Behaviour::Answers(Answer::ok("it came through")));
    let more = json!({ "timeouts": { "client_header": "700ms" }, "front": front });
    let balancer = Balancer::start(config(&[&backend], more));
    let mut wrong = Vec::new();
    for (file, case) in cases {
        if let Err(why) = play(case, &balancer, &backend) {
            wrong.push(format!("{}: {why}", file.file_name().unwrap().display()));
        }
    }
    let smuggled = backend.asked().into_iter().filter(|asked| asked.start.contains("smuggled"));
    wrong.extend(smuggled.map(|asked| format!("smuggled: {asked:?}")));
    wrong
}

fn play_every_case(front: bool) {
    let read = |file: PathBuf| (file.clone(), Case::read(&file));
    let adapted = |(file, case): (PathBuf, Case)| (file, if front { case } else { case.on_tiny() });
    let mut cases: Vec<_> = files().into_iter().map(read).map(adapted).collect();
    // Those that tiny_http waits for have nothing to be seen.
    cases.retain(|(_, case)| !case.outcomes.is_empty());
    // Apart, so that a head that is on its way is not taken for one of the next case.
    let (beginning, refused) =
        cases.into_iter().partition::<Vec<_>, _>(|(_, case)| case.may_begin_at_backend());
    let wrong = [play_all(&beginning, front), play_all(&refused, front)].concat();
    assert!(wrong.is_empty(), "{} cases went wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_case_ends_as_its_first_line_says() {
    play_every_case(true);
}

#[test]
fn every_case_ends_as_it_says_on_tiny_http() {
    play_every_case(false);
}
