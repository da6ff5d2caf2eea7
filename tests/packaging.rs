//! What goes with the program: man page and completions name everything that `--help` does, manifests can be
//! read, scripts and units hold together. Tools that are not here are said to be missing, loudly.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use loadbalancer::cli;
use loadbalancer::config::{Algorithm, Overrides, parse};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

/// What the program says when it is run; `None` where it is not here, which is said past the test harness.
fn run(test: &str, program: &str, arguments: &[&str]) -> Option<Output> {
    let root = path("");
    let output = Command::new(program).args(arguments).current_dir(root).stdin(Stdio::null()).output();
    if output.is_err() {
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: no {program} here");
    }
    output.ok()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The commands that the usage of `--help` names.
fn commands() -> Vec<&'static str> {
    let lines = cli::HELP.lines().filter_map(|line| line.split_once("loadbalancer ").map(|(_, rest)| rest));
    let words = lines.map(|rest| rest.split_whitespace().next().unwrap());
    let mut commands: Vec<_> = words.filter(|word| word.chars().all(char::is_lowercase)).collect();
    commands.dedup();
    commands
}

/// The flags that `--help` names, without their dashes.
fn flags() -> Vec<&'static str> {
    let parts = cli::HELP.split("--").skip(1);
    let name = |part: &'static str| part.split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap();
    let mut flags: Vec<_> = parts.map(name).filter(|name| !name.is_empty()).collect();
    flags.sort_unstable();
    flags.dedup();
    flags
}

/// The drill's scenarios and the algorithms.
fn names() -> Vec<String> {
    let source = read("src/drill/scenarios.rs");
    let scenarios = source.split("        name: \"").skip(1).map(|rest| rest.split('"').next().unwrap());
    scenarios.map(str::to_owned).chain(Algorithm::all().map(|it| it.to_string())).collect()
}

#[test]
fn what_help_names_is_found() {
    assert_eq!(commands(), ["check", "demo", "replay", "convert", "drill", "explain", "health"]);
    for flag in [
        "algorithm",
        "client",
        "config",
        "help",
        "host",
        "id",
        "path",
        "pid-file",
        "probe",
        "version",
        "without",
    ] {
        assert!(flags().contains(&flag), "{flag} in {:?}", flags());
    }
    assert_eq!(names().len(), 9 + 5);
}

/// With sudo, a build would be root's, in a folder that is then root's.
#[test]
fn install_does_not_build_and_says_what_to_do_first() {
    let folder = tempfile::tempdir().unwrap();
    let (built, to) = (folder.path().join("built"), folder.path().join("to"));
    let variables = [
        format!("CARGO_TARGET_DIR={}", built.display()),
        format!("DESTDIR={}", to.display()),
        "CARGO=false".to_owned(),
    ];
    let install = || {
        let arguments = [&["install"][..], &variables.each_ref().map(String::as_str)].concat();
        run("install_does_not_build_and_says_what_to_do_first", "make", &arguments)
    };
    let Some(output) = install() else { return };
    assert!(!output.status.success() && !to.exists());
    assert!(text(&output.stdout).contains("run 'make build' first"), "{output:?}");
    std::fs::create_dir_all(built.join("release")).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_loadbalancer"), built.join("release/loadbalancer")).unwrap();
    let output = install().unwrap();
    assert!(output.status.success(), "{output:?}");
    for file in
        ["bin/loadbalancer", "share/man/man1/loadbalancer.1", "share/zsh/site-functions/_loadbalancer"]
    {
        assert!(to.join("usr/local").join(file).is_file(), "{file}");
    }
}

#[test]
fn the_help_of_a_command_names_its_flags() {
    let of = |command: &str| match cli::parse([command, "--help"].map(Into::into)) {
        Ok(cli::Command::Help(text)) => text,
        other => panic!("{command}: {other:?}"),
    };
    let all: String = commands().into_iter().map(of).collect();
    assert!(!all.contains("run until Ctrl-C"), "each command has help of its own");
    for flag in flags().into_iter().filter(|flag| !["help", "version", "pid-file"].contains(flag)) {
        assert!(all.contains(&format!("--{flag}")), "--{flag}");
    }
}

#[test]
fn completions_and_man_page_name_everything() {
    type Form = fn(&str) -> String;
    let same: Form = str::to_owned;
    let dashes: Form = |flag| format!("--{flag}");
    let forms: [(&str, Form, Form); 4] = [
        ("packaging/completions/loadbalancer.bash", same, dashes),
        ("packaging/completions/_loadbalancer", |command| format!("'{command}:"), dashes),
        (
            "packaging/completions/loadbalancer.fish",
            |command| format!("-a {command} "),
            |flag| format!("-l {flag} "),
        ),
        ("packaging/loadbalancer.1", |command| format!(".It Cm {command}\n"), |flag| format!("Fl -{flag}")),
    ];
    for (file, command_form, flag_form) in forms {
        let text = read(file);
        for command in commands() {
            assert!(text.contains(&command_form(command)), "{command} in {file}");
        }
        for flag in flags() {
            assert!(text.contains(&flag_form(flag)), "--{flag} in {file}");
        }
        for name in names() {
            assert!(text.contains(&name), "{name} in {file}");
        }
    }
    let page = read("packaging/loadbalancer.1");
    for variable in
        cli::HELP.split(|c: char| !c.is_ascii_uppercase() && c != '_').filter(|it| it.starts_with("LB_"))
    {
        assert!(page.contains(&format!("Ev {variable}\n")), "{variable} in the man page");
    }
}

#[test]
fn the_man_page_is_rendered_without_a_warning() {
    let page = "packaging/loadbalancer.1";
    let Some(output) = run("the_man_page_is_rendered_without_a_warning", "man", &["--warnings", "-l", page])
    else {
        return;
    };
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("EXIT STATUS"));
}

#[test]
fn bash_completes() {
    let script = "source packaging/completions/loadbalancer.bash; complete -p loadbalancer
        COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _loadbalancer; echo \"${COMPREPLY[*]}\"";
    for (words, expected) in [
        (&["loadbalancer", "dr"][..], "drill"),
        (&["loadbalancer", "drill", "fl"], "flap"),
        (&["loadbalancer", "check", "--p"], "--probe"),
        (&["loadbalancer", "replay", "--algorithm", "po"], "power_of_two"),
        (&["loadbalancer", "explain", "--cl"], "--client"),
        (&["loadbalancer", "he"], "health"),
        (&["loadbalancer", "health", "--co"], "--config"),
        (&["loadbalancer", "convert", "--rep"], "--report"),
        (&["loadbalancer", "convert", "--from", "ha"], "haproxy"),
        (&["loadbalancer", "--config", "config.j"], "config.json"),
        (&["loadbalancer", "check", "config.j"], "config.json"),
    ] {
        let arguments = [&["-c", script, "bash"], words].concat();
        let Some(output) = run("bash_completes", "bash", &arguments) else { return };
        let lines = text(&output.stdout);
        assert_eq!(lines, format!("complete -F _loadbalancer loadbalancer\n{expected}\n"), "{words:?}");
        assert_eq!(text(&output.stderr), "", "{words:?}");
    }
}

#[test]
fn other_shells_find_no_mistake() {
    for (shell, file) in [("zsh", "_loadbalancer"), ("fish", "loadbalancer.fish")] {
        let file = format!("packaging/completions/{file}");
        let Some(output) = run("other_shells_find_no_mistake", shell, &["-n", &file]) else { continue };
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

#[test]
fn manifests_are_yaml_and_their_configuration_loads() {
    let script = "import sys, yaml
for file in sys.argv[1:]:
    for it in yaml.safe_load_all(open(file)):
        assert it['apiVersion'] and it['kind'] and it['metadata']['name'], it
        if it['kind'] == 'ConfigMap':
            print(it['data']['config.json'])";
    let test = "manifests_are_yaml_and_their_configuration_loads";
    let files = ["packaging/kubernetes/app.yaml", "packaging/kubernetes/loadbalancer.yaml"];
    let Some(output) = run(test, "python3", &[&["-c", script], &files[..]].concat()) else { return };
    if text(&output.stderr).contains("No module named 'yaml'") {
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: python3 has no yaml");
        return;
    }
    assert!(output.status.success(), "{}", text(&output.stderr));
    let config = parse(&text(&output.stdout), &Overrides::default()).unwrap();
    // Names of the stateful set's pods.
    let replicas: usize = read(files[0]).split("replicas: ").nth(1).unwrap()[..1].parse().unwrap();
    assert_eq!(config.default_pool.backends.len(), replicas);
    let drain = config.timeouts.pre_drain + config.timeouts.drain;
    let grace = read(files[1]);
    let grace = grace.split("terminationGracePeriodSeconds: ").nth(1).unwrap().lines().next().unwrap();
    assert!(grace.parse::<u64>().unwrap() > drain.as_secs());
}

#[test]
fn scripts_have_no_mistake_a_shell_could_find() {
    for script in ["packaging/roll", "docs/screenshot"] {
        let Some(output) = run("scripts_have_no_mistake_a_shell_could_find", "sh", &["-n", script]) else {
            return;
        };
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

#[test]
fn units_have_no_mistake_systemd_could_find() {
    let units = ["packaging/systemd/loadbalancer.socket", "packaging/systemd/loadbalancer.service"];
    let test = "units_have_no_mistake_systemd_could_find";
    let arguments = [&["verify"], &units[..]].concat();
    let Some(output) = run(test, "systemd-analyze", &arguments) else { return };
    // The program and its page may not be installed here.
    let told = text(&output.stderr);
    let mistakes: Vec<_> = told
        .lines()
        .filter(|line| line.contains("packaging/") || line.contains("loadbalancer."))
        .filter(|line| !line.contains("is not executable") && !line.contains("Command 'man"))
        .collect();
    assert!(mistakes.is_empty(), "{mistakes:?}");
}
