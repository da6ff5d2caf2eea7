//! Commands, flags, environment and exit status.

use serde_json::{Value, json};

use crate::support::{Backend, Balancer, Behaviour, Run, config, eventually};

#[test]
fn help_names_every_command_and_variable() {
    for flag in ["--help", "-h"] {
        let run = Run::of([flag]).output();
        assert_eq!(run.code, Some(0));
        for word in
            "check --probe demo replay drill --config LB_CONFIG LB_ALGORITHM LB_LISTEN LB_DEBUG".split(' ')
        {
            assert!(run.stdout.contains(word), "{word} in {}", run.stdout);
        }
    }
}

#[test]
fn each_command_has_help_of_its_own_and_go_s_flags_are_taken() {
    let help = |arguments: [&str; 2]| Run::of(arguments).output();
    for command in ["check", "demo", "replay", "drill", "explain", "health"] {
        let run = help([command, "--help"]);
        assert_eq!(run.code, Some(0));
        assert!(run.stdout.contains(&format!("usage: loadbalancer {command}")), "{run:?}");
        assert_eq!(help([command, "-help"]).stdout, run.stdout);
    }
    let general = Run::of(["-help"]).output().stdout;
    assert!(general.contains("/lb-dashboard"), "{general}");
    let run = Run::of(["check", "-config"]).file(r#"{ "workers": 3 }"#).output();
    assert!(run.code == Some(0) && run.stdout.contains("\"workers\": 3"), "{run:?}");
}

#[test]
fn the_start_says_where_its_configuration_is_from() {
    let text = config(&[&Backend::named("a")], json!({})).to_string();
    let from = |run: Run| {
        let balancer = run.start();
        let line = balancer.wait_for_log("configuration");
        assert_eq!(balancer.log_lines().iter().position(|it| *it == line), Some(0), "{line}");
        line
    };
    assert!(from(Run::of(["--config"]).file(&text)).contains("msg=\"configuration read\" file=/"));
    assert!(from(Run::of([]).env_file("LB_CONFIG", &text)).contains("config.json"));
    let none = from(Run::of([]).env("LB_LISTEN", "127.0.0.1:0"));
    assert!(none.contains("no configuration file is named, built-in defaults hold"), "{none}");
}

#[test]
fn version_is_the_package_s() {
    let run = Run::of(["--version"]).output();
    assert_eq!(run.code, Some(0));
    assert_eq!(run.stdout, concat!("loadbalancer ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn usage_errors_are_named_and_exit_2() {
    for (run, word) in [
        (Run::of(["--confg", "x"]), "--confg"),
        (Run::of(["serve"]), "serve"),
        (Run::of(["--config"]), "--config"),
        (Run::of(["check", "a", "b"]), "b"),
    ] {
        let run = run.output();
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains(word), "{word} in {run:?}");
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn check_prints_what_a_file_resolves_to() {
    let run = Run::of(["check"]).file(r#"{ "retry": { "delay": "1500ms" } }"#).output();
    assert_eq!(run.code, Some(0), "{run:?}");
    let page: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(page["algorithm"], "round_robin");
    assert_eq!(page["retry"]["max_retries"], 2);
    assert_eq!(page["backends"].as_array().unwrap().len(), 3);
    assert_eq!(page["backends"][2]["url"], "http://localhost:3003");
    let again = Run::of(["check"]).file(&run.stdout).output();
    assert_eq!(again.stdout, run.stdout, "what is printed resolves to itself");
}

#[test]
fn check_without_a_file_prints_the_defaults() {
    let run = Run::of(["check"]).output();
    assert_eq!(run.code, Some(0), "{run:?}");
    let page: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(page["listen"], "0.0.0.0:8080");
}

/// One mistake a line, from line 2.
const SIX_MISTAKES: &str = r#"{
  "listen": "nowhere",
  "algorithm": "round_robbin",
  "backends": [ { "url": "http://localhost:3001" }, { "url": "gopher://x" } ],
  "health_check": { "interval": "10 parsecs" },
  "rate_limit": { "burst": -1 },
  "retrys": {}
}"#;

#[test]
fn six_mistakes_are_all_named_with_their_lines() {
    for run in [Run::of(["check"]), Run::of(["--config"])] {
        let run = run.file(SIX_MISTAKES).output();
        assert_eq!(run.code, Some(2), "{run:?}");
        let fields = "listen algorithm backends[1].url health_check.interval rate_limit.burst retrys";
        for (field, number) in fields.split(' ').zip(2..) {
            let named = |line: &&str| line.contains(field) && line.contains(&format!(":{number}:"));
            assert_eq!(run.stderr.lines().filter(named).count(), 1, "{field}: {}", run.stderr);
        }
        assert!(run.stderr.contains("\"retry\""), "the nearest known field: {}", run.stderr);
    }
}

#[test]
fn every_mistake_has_the_words_that_stand_beside_it() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/config");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let cases: Vec<_> = files.filter(|path| path.extension().is_some_and(|kind| kind == "json")).collect();
    assert!(cases.len() > 10, "{cases:?}");
    for case in cases {
        let run = Run::of(["check"]).arg(&case).output();
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{case:?}");
        let said = run.stderr.replace(&format!("{folder}/"), "");
        // The files that one of them names are not there, which is told as well.
        let of_fields: Vec<_> =
            said.lines().filter(|line| !line.contains(".pem: cannot be read: ")).collect();
        let expected = std::fs::read_to_string(case.with_extension("err")).unwrap();
        assert_eq!(of_fields.join("\n"), expected.trim_end(), "{case:?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    for arguments in [["check", "/no/such/file"], ["--config", "/no/such/file"]] {
        let run = Run::of(arguments).output();
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains("/no/such/file"), "{run:?}");
    }
}

#[test]
fn a_port_that_is_taken_is_a_failure_at_run_time() {
    let (taken, backend) = (Backend::named("taken"), Backend::that(Behaviour::Refuses));
    let address = taken.address().to_string();
    let run = Run::with(&config(&[&backend], json!({ "listen": address }))).output();
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains(&address), "{run:?}");
}

#[test]
fn lb_config_names_the_file_and_the_flag_goes_before_it() {
    let backend = Backend::named("one");
    let text = config(&[&backend], json!({ "algorithm": "least_conn" })).to_string();
    let balancer = Run::of([]).env_file("LB_CONFIG", &text).start();
    assert_eq!(balancer.metrics()["algorithm"], "least_conn");
    assert_eq!(balancer.get("/").text(), "one");
    let flag = config(&[&backend], json!({}));
    let balancer = Run::with(&flag).env("LB_CONFIG", "/no/such/file").start();
    assert_eq!(balancer.metrics()["algorithm"], "round_robin");
}

#[test]
fn lb_algorithm_overrides_the_file() {
    let backend = Backend::named("one");
    let balancer = Run::with(&config(&[&backend], json!({}))).env("LB_ALGORITHM", "ip_hash").start();
    assert_eq!(balancer.metrics()["algorithm"], "ip_hash");
}

#[test]
fn a_variable_that_makes_no_sense_is_named_and_exits_2() {
    let backend = Backend::named("one");
    for (name, value) in [("LB_ALGORITHM", "best"), ("LB_LISTEN", "nowhere")] {
        let run = Run::with(&config(&[&backend], json!({}))).env(name, value).output();
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains(name) && run.stderr.contains(value), "{run:?}");
    }
}

#[test]
fn lb_listen_overrides_the_file() {
    let (taken, backend) = (Backend::named("taken"), Backend::named("one"));
    let file = config(&[&backend], json!({ "listen": taken.address().to_string() }));
    let balancer = Run::with(&file).env("LB_LISTEN", "127.0.0.1:0").start();
    assert_eq!(balancer.get("/").text(), "one");
}

#[test]
fn lb_debug_logs_debug_events() {
    let backend = Backend::named("one");
    let file = config(&[&backend], json!({}));
    let balancer = Run::with(&file).env("LB_DEBUG", "1").start();
    balancer.wait_for_log("level=DEBUG");
    let quiet = Balancer::start(file).once_probed();
    assert_eq!(quiet.log_lines_with("level=DEBUG"), Vec::<String>::new());
}

#[test]
fn variables_in_the_file_are_the_environment_s_at_the_start_and_at_a_reload() {
    let backend = Backend::named("one");
    let mut configured = config(&[], json!({ "backends": [{ "url": "http://${LB_TEST_BACKEND}" }] }));
    let run = Run::with(&configured).env("LB_TEST_BACKEND", &backend.address().to_string());
    let balancer = run.start();
    assert_eq!(balancer.get("/").status, 200);
    configured["backends"][0]["weight"] = json!("${LB_TEST_WEIGHT}");
    balancer.write_config(&configured.to_string());
    balancer.wait_for_log("${LB_TEST_WEIGHT} is not set in the environment");
    configured["backends"][0]["weight"] = json!(7);
    balancer.write_config(&configured.to_string());
    eventually("the weight is read", || balancer.metrics()["backends"][0]["weight"] == 7);
    assert_eq!(balancer.get("/").status, 200);
}

#[test]
fn check_shows_what_variables_say_but_no_secrets() {
    let text = r#"{ "listen": ":${LB_TEST_PORT}", "sticky_key": "${LB_TEST_KEY}", "admin": { "token": "${LB_TEST_KEY}" } }"#;
    let run = || Run::of(["check"]).file(text).env("LB_TEST_PORT", "81");
    let shown = run().env("LB_TEST_KEY", "sixteen-or-more-characters").output();
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.stdout.contains("[::]:81") && !shown.stdout.contains("sixteen"), "{shown:?}");
    let unset = run().output();
    assert_eq!(unset.code, Some(2), "{unset:?}");
    assert!(unset.stderr.contains("sticky_key: ${LB_TEST_KEY} is not set"), "{unset:?}");
    assert!(unset.stderr.contains("admin.token: ${LB_TEST_KEY} is not set"), "{unset:?}");
}
