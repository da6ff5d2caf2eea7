//! A sticky cookie outlives the process that gave it, and its configuration's changes.

use serde_json::{Value, json};

use crate::support::{Backend, Balancer, Run, config};

const NAMES: [&str; 3] = ["a", "b", "c"];

fn of(backends: &[Backend], more: Value) -> Value {
    let mut config = config(&backends.iter().collect::<Vec<_>>(), more);
    config["sticky_cookie"] = json!("lb");
    config
}

/// For each backend, the cookie that a client got with it.
fn cookies(balancer: &Balancer) -> Vec<(String, String)> {
    let one = |_| {
        let answer = balancer.get("/");
        let cookie = answer.header("set-cookie").expect("a cookie").split(';').next().unwrap();
        (answer.text().to_owned(), cookie.to_owned())
    };
    (0..NAMES.len()).map(one).collect()
}

/// Twice each, so that a rotation can't hit all of them by chance.
#[track_caller]
fn assert_honoured(balancer: &Balancer, cookies: &[(String, String)]) {
    for (name, cookie) in cookies.iter().chain(cookies.iter().rev()) {
        let answer = balancer.ask("GET", "/", &[("Cookie", cookie)], b"");
        assert_eq!((answer.text(), answer.header("set-cookie")), (name.as_str(), None), "{cookie}");
    }
}

#[test]
fn a_second_instance_honours_it() {
    let backends = NAMES.map(Backend::named);
    let [one, other] = [(); 2].map(|()| Balancer::start(of(&backends, json!({}))));
    let given = cookies(&one);
    assert_honoured(&other, &given);
    assert_honoured(&one, &cookies(&other));
}

#[test]
fn it_survives_a_reload_and_another_order() {
    let backends = NAMES.map(Backend::named);
    let balancer = Balancer::start(of(&backends, json!({})));
    let given = cookies(&balancer);
    let mut new = of(&backends, json!({ "algorithm": "least_conn" }));
    new["backends"].as_array_mut().unwrap().reverse();
    balancer.write_config(&new.to_string());
    balancer.wait_for_log("algorithm round_robin -> least_conn");
    assert_honoured(&balancer, &given);
}

#[test]
fn a_secret_makes_values_of_its_own_on_which_instances_agree_and_is_never_told() {
    let backends = NAMES.map(Backend::named);
    let keyed = |key: &str| of(&backends, json!({ "sticky_key": key }));
    let (first, second) = ("first-secret-of-ours", "second-secret-of-ours");
    let without = Balancer::start(of(&backends, json!({})));
    let [one, other] = [(); 2].map(|()| Balancer::start(keyed(first)));
    let given = cookies(&one);
    assert_honoured(&other, &given);
    let value = |cookies: Vec<(String, String)>| cookies.into_iter().find(|(name, _)| name == "a").unwrap().1;
    let [plain, of_first] = [&without, &one].map(|balancer| value(cookies(balancer)));
    assert_ne!(plain, of_first);
    one.write_config(&keyed(second).to_string());
    let line = one.wait_for_log("configuration reloaded");
    assert!(line.contains("sticky_key") && !line.contains("secret"), "{line}");
    assert_ne!(value(cookies(&one)), of_first);
    let shown = Run::of(["check"]).file(&keyed(first).to_string()).output();
    assert!(shown.stdout.contains("\"sticky_key\"") && !shown.stdout.contains(first), "{shown:?}");
    let short = Run::of(["check"]).file(&keyed("tooshort").to_string()).output();
    assert!(short.stderr.contains("sticky_key") && !short.stderr.contains("tooshort"), "{short:?}");
}
