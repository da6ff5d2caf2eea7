use super::*;

fn check(line: &str, expected: Result<Command, &str>) {
    let found = parse(line.split_whitespace().map(OsString::from));
    match (found, expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{line}"),
        (Err(found), Err(expected)) => assert!(found.contains(expected), "{line}: {found}"),
        (found, _) => panic!("{line}: {found:?}"),
    }
}

#[test]
fn commands_and_flags() {
    let runs = |config: Option<&str>, pid_file: Option<&str>| {
        Ok(Command::Run { config: config.map(PathBuf::from), pid_file: pid_file.map(PathBuf::from) })
    };
    check("", runs(None, None));
    for line in ["--config a.json", "-c a.json", "-config a.json", "-config=a.json", "--config=a.json"] {
        check(line, runs(Some("a.json"), None));
    }
    check("--pid-file lb.pid -c a", runs(Some("a"), Some("lb.pid")));
    let checks =
        |file: Option<&str>, probe| Ok(Command::Check { file: file.map(PathBuf::from), probe, quiet: false });
    check("check", checks(None, false));
    check("check a.json", checks(Some("a.json"), false));
    check("check --config a.json", checks(Some("a.json"), false));
    check("check --probe a.json", checks(Some("a.json"), true));
    check("check a.json --probe", checks(Some("a.json"), true));
    check("demo", Ok(Command::Demo));
    check("check -probe=true a.json", checks(Some("a.json"), true));
    check("--help", Ok(Command::Help(HELP)));
    check("-help", Ok(Command::Help(HELP)));
    check("no-such-command --help", Ok(Command::Help(HELP)));
    for command in ["check", "convert", "demo", "replay", "drill", "explain", "health"] {
        let own = help::of(command).unwrap();
        assert!(own.contains(&format!("usage: loadbalancer {command}")));
        check(&format!("{command} --help"), Ok(Command::Help(own)));
    }
    check("-V", Ok(Command::Version));
    check("health -c a", Ok(Command::Health { config: Some("a".into()) }));
    check("health a", Err("\"a\""));
    check("health --probe", Err("health takes no --probe"));
}

#[test]
fn a_replay_has_a_log_and_what_to_change() {
    let options = ReplayOptions { logs: vec!["-".into()], ..ReplayOptions::default() };
    check("replay -", Ok(Command::Replay(options)));
    let options = ReplayOptions {
        logs: vec!["a.log".into()],
        config: Some("c.json".into()),
        algorithm: Some("all".into()),
        without: vec!["http://a".into(), "http://b".into()],
        time_field: None,
    };
    let line = "replay --algorithm all a.log --without http://a --without=http://b -c c.json";
    check(line, Ok(Command::Replay(options)));
}

#[test]
fn a_drill_may_be_of_some_scenarios() {
    check("drill", Ok(Command::Drill { config: None, scenarios: vec![] }));
    let scenarios = vec!["stall".into(), "flap".into()];
    check("drill -c a.json stall flap", Ok(Command::Drill { config: Some("a.json".into()), scenarios }));
    check("drill --without a", Err("drill takes no --without"));
}

#[test]
fn a_question_is_about_one_request_or_the_next() {
    let question = Question { id: Some("a1".into()), ..Question::default() };
    check("explain --id a1", Ok(Command::Explain { config: None, question }));
    let question = Question {
        client: Some("::1".into()),
        path: Some("/x".into()),
        host: Some("h".into()),
        ..Question::default()
    };
    let line = "explain --client ::1 --path /x --host h -c c.json";
    check(line, Ok(Command::Explain { config: Some("c.json".into()), question }));
    let question = Question { slowest: Some("5".into()), ..Question::default() };
    check("explain --slowest 5", Ok(Command::Explain { config: None, question }));
    check("explain --slowest 0", Err("such as 10"));
    check("explain --slowest 5 --id a", Err("--id"));
    check("explain", Err("--id"));
    check("explain --id a --client b", Err("--id"));
    check("explain --id a --path /", Err("go with --client"));
    check("drill --path /", Err("drill takes no --path"));
}

#[test]
fn mistakes_are_named() {
    check("--confg x", Err("--confg"));
    check("--config", Err("--config"));
    check("-port 8080", Err("LB_LISTEN=:8080"));
    check("chek", Err("\"chek\""));
    check("check a b", Err("\"b\""));
    check("check a --config b", Err("one file"));
    check("check --pid-file b", Err("check takes no --pid-file"));
    check("demo --config b", Err("demo takes no --config"));
    check("demo --probe", Err("demo takes no --probe"));
    check("demo b", Err("\"b\""));
    check("--algorithm all", Err("run takes no --algorithm"));
    check("replay", Err("access log"));
    check("replay a --without", Err("--without"));
}
