//! What goes with the program: man page and completions name everything that `--help` does, manifests can be
//! read, scripts and units hold together. Tools that are not here are said to be missing, loudly.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use loadbalancer::cli;
use loadbalancer::config::{Addresses, Algorithm, Config, Overrides, parse};

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

/// A Python that has this module: the one that `tests/manifests/install` makes, or the system's. Its absence is said
/// past the test harness.
fn python_with(test: &str, module: &str) -> Option<PathBuf> {
    let own = path("target/manifests/bin/python");
    let found = [own, PathBuf::from("python3")].into_iter().find(|python| {
        let found = Command::new(python).args(["-c", &format!("import {module}")]).output();
        found.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        let why = format!("SKIPPED {test}: no Python with {module}; tests/manifests/install gets it");
        let _ = writeln!(std::io::stderr(), "{why}");
    }
    found
}

/// What a script of Python prints; `None` where there is none that could.
fn python(test: &str, module: &str, arguments: &[&str]) -> Option<String> {
    let python = python_with(test, module)?;
    let output = Command::new(python).args(arguments).current_dir(path("")).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    Some(text(&output.stdout))
}

/// What stands behind this word, up to the end of the line.
fn after<'a>(text: &'a str, word: &str) -> &'a str {
    text.split_once(word).unwrap().1.lines().next().unwrap().trim()
}

/// A configuration that people start from: it loads, `check` has nothing against it, and every address of its name is a
/// backend of its own.
fn check_example(text: &str) -> Config {
    let config = parse(text, &Overrides::default()).unwrap();
    assert_eq!(loadbalancer::check::warnings::of(&config), Vec::<String>::new());
    assert_eq!(config.default_pool.backends[0].addresses, Addresses::Each);
    assert!(config.front);
    config
}

#[test]
fn manifests_are_yaml_and_their_configuration_loads() {
    let script = "import sys, yaml
for file in sys.argv[1:]:
    for it in yaml.safe_load_all(open(file)):
        assert it['apiVersion'] and it['kind'] and it['metadata']['name'], it
        if it['kind'] == 'ConfigMap':
            print(it['data']['config.json'])";
    let files = ["packaging/kubernetes/app.yaml", "packaging/kubernetes/loadbalancer.yaml"];
    let test = "manifests_are_yaml_and_their_configuration_loads";
    let Some(printed) = python(test, "yaml", &[&["-c", script], &files[..]].concat()) else { return };
    let config = check_example(&printed);
    let drain = config.timeouts.pre_drain + config.timeouts.drain;
    let grace = read(files[1]);
    assert!(after(&grace, "terminationGracePeriodSeconds: ").parse::<u64>().unwrap() > drain.as_secs());
    // The name and the port are the headless service's.
    let app = read(files[0]);
    assert!(app.contains("clusterIP: None") && after(&app, "name: ") == "app");
    assert!(app.contains("name: http, port: 3000") && printed.contains("http://app:3000"));
    // A pod that ends serves on for longer than the balancers take to hear of it.
    let sleep: u64 = app.split("[\"sleep\", \"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    assert!(sleep > config.timeouts.resolve.as_secs());
}

#[test]
fn manifests_are_what_each_release_of_kubernetes_takes() {
    let files = ["packaging/kubernetes/app.yaml", "packaging/kubernetes/loadbalancer.yaml"];
    let arguments = [&["tests/manifests/validate.py"], &files[..]].concat();
    let test = "manifests_are_what_each_release_of_kubernetes_takes";
    let Some(printed) = python(test, "kubernetes_validate", &arguments) else { return };
    // Six objects by the schemas of ten releases.
    assert_eq!(printed, "60\n");
}

#[test]
fn the_kustomization_has_every_manifest_and_every_image() {
    let script = "import os, sys, yaml
folder = sys.argv[1]
it = yaml.safe_load(open(folder + '/kustomization.yaml'))
manifests = [name for name in sorted(os.listdir(folder)) if name != 'kustomization.yaml']
assert it['kind'] == 'Kustomization' and sorted(it['resources']) == manifests, (it, manifests)
images = set()
for name in manifests:
    for found in yaml.safe_load_all(open(os.path.join(folder, name))):
        template = found.get('spec', {}).get('template')
        for container in template['spec']['containers'] if template else []:
            images.add(container['image'])
named = {image['name'] + ':' + image['newTag'] for image in it['images']}
assert named == images, (named, images)
print('ok')";
    let test = "the_kustomization_has_every_manifest_and_every_image";
    let Some(printed) = python(test, "yaml", &["-c", script, "packaging/kubernetes"]) else { return };
    assert_eq!(printed, "ok\n");
}

#[test]
fn the_compose_file_names_what_is_there() {
    let script = "import os, sys, yaml
file = sys.argv[1]
folder = os.path.dirname(file)
services = yaml.safe_load(open(file))['services']
stages = [line.split(' AS ')[1].strip() for line in open(folder + '/Dockerfile') if ' AS ' in line]
for name, service in services.items():
    build = service['build']
    context = os.path.join(folder, build['context'])
    assert os.path.isfile(os.path.join(context, build['dockerfile'])), name
    assert os.path.isfile(os.path.join(context, 'Cargo.toml')), name
    assert build.get('target', stages[-1]) == name, (name, stages)
    for volume in service.get('volumes', []):
        assert os.path.isdir(os.path.join(folder, volume.split(':')[0])), volume
assert services['app']['scale'] == 3
print(services['loadbalancer']['stop_grace_period'].rstrip('s'), services['loadbalancer']['ports'][0].split(':')[1])";
    let test = "the_compose_file_names_what_is_there";
    let Some(printed) = python(test, "yaml", &["-c", script, "packaging/container/compose.yaml"]) else {
        return;
    };
    let (grace, port) = printed.trim().split_once(' ').unwrap();
    let config = check_example(&read("packaging/container/config/config.json"));
    let drain = config.timeouts.pre_drain + config.timeouts.drain;
    assert!(grace.parse::<u64>().unwrap() > drain.as_secs());
    assert_eq!(config.listen[0].tcp().unwrap().port().to_string(), port);
}

/// The line of the image's health check is a command of this program.
#[test]
fn the_image_s_commands_and_paths_exist() {
    let file = read("packaging/container/Dockerfile");
    let command = after(&file, "HEALTHCHECK ").split_once("CMD ").unwrap().1;
    let words: Vec<String> = serde_json::from_str(command).unwrap();
    assert_eq!(words[0], "/loadbalancer");
    let parsed = cli::parse(words[1..].iter().map(Into::into)).unwrap();
    assert_eq!(parsed, cli::Command::Health { config: None });
    assert!(cli::HELP.contains(after(&file, "ENV ").split('=').next().unwrap()));
    assert!(file.contains("\nSTOPSIGNAL SIGTERM\n") && file.contains("\nUSER 65534:65534\n"));
    assert!(file.trim_end().ends_with("ENTRYPOINT [\"/loadbalancer\"]"));
    // What is left out of the build's context is not what it needs.
    let ignored = read("packaging/container/Dockerfile.dockerignore");
    for name in ignored.lines().filter_map(|line| line.strip_prefix('!')) {
        assert!(path(name).exists(), "{name}");
    }
    let manifest = read("Cargo.toml");
    for target in manifest.lines().filter_map(|line| line.strip_prefix("path = ")) {
        let (folder, _) = target.trim_matches('"').rsplit_once('/').unwrap();
        assert!(ignored.contains(&format!("!{folder}\n")), "{folder}");
    }
}

#[test]
fn scripts_have_no_mistake_a_shell_could_find() {
    for script in ["packaging/roll", "docs/screenshot", "tests/container/alone", "tests/manifests/install"] {
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
