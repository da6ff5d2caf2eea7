//! `/lb-dashboard`: what it sends, and what a real browser makes of it.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use loadbalancer::demo::echo::EchoOptions;
use serde_json::{Value, json};

use crate::support::{
    Admin, Answer, Backend, Balancer, Behaviour, Browser, Signal, Stop, config, eventually, let_pass, skip,
    with_room,
};

#[test]
fn the_page_is_whole_and_a_browser_may_run_nothing_else() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    let (one, two) = (balancer.get("/lb-dashboard"), balancer.get("/lb-dashboard"));
    assert_eq!((one.status, one.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(one.header("cache-control"), Some("no-store"));
    let policy = one.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "connect-src 'self'", "img-src data:", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_ne!(Some(policy), two.header("content-security-policy"), "each answer has a mark of its own");
    let mark = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert_eq!(one.text().matches(&format!("nonce=\"{mark}\"")).count(), 2, "the style's and the script's");
    assert!(one.body.len() < 48 << 10, "{} bytes", one.body.len());
    for outside in ["src=", "@import", "url(", "https://", "innerHTML"] {
        assert!(!one.text().contains(outside), "{outside}");
    }
    assert_eq!(balancer.ask("HEAD", "/lb-dashboard", &[], b"").status, 200);
}

#[test]
fn the_figures_tell_how_long_a_state_lasts_and_buckets_on_request() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]).once_probed();
    balancer.get("/");
    let plain = balancer.metrics_after(1);
    assert_eq!((&plain["draining"], &plain["backends"][0]["since_seconds"]), (&json!(false), &Value::Null));
    assert_eq!(plain.get("latency_buckets"), None);
    backend.set_healthy(false);
    balancer.wait_for_states(&["unhealthy"]);
    let page = balancer.get("/lb-metrics?buckets").json();
    assert!(page["backends"][0]["since_seconds"].as_u64() < Some(60), "{page}");
    for buckets in [&page["latency_buckets"], &page["backends"][0]["latency_buckets"]] {
        assert_eq!(buckets.as_array().unwrap().len(), 1, "{buckets}");
        assert!(buckets[0][0].as_f64() < buckets[0][1].as_f64(), "{buckets}");
        assert_eq!(buckets[0][2], 1, "{buckets}");
    }
}

/// A browser, for a test that is skipped where there is none.
fn browser() -> Option<Browser> {
    let browser = Browser::start();
    if browser.is_none() {
        skip("no chromedriver; tests/browser/install gets it");
    }
    browser
}

/// The same with the page open.
fn open(balancer: &Balancer) -> Option<Browser> {
    let browser = browser()?;
    browser.open(&page_of(balancer));
    Some(browser)
}

fn page_of(balancer: &Balancer) -> String {
    format!("http://{}/lb-dashboard", balancer.address())
}

/// The console is empty, and nobody was asked but the balancer.
#[track_caller]
fn assert_clean(browser: &Browser, balancer: &Balancer) {
    assert_eq!(browser.console(), [""; 0]);
    let asked = browser.run("return performance.getEntriesByType('resource').map((it) => it.name)");
    let page = format!("http://{}/lb-metrics?buckets", balancer.address());
    let asked = asked.as_array().unwrap();
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|url| *url == page || *url == format!("{page}&history")), "{asked:?}");
}

#[test]
fn it_shows_traffic_and_a_backend_that_dies() {
    let mut backends = ["0", "1", "2"].map(Backend::named);
    let balancer = Balancer::start(config(
        &backends.each_ref(),
        json!({ "rate_limit": { "enabled": true, "requests_per_second": 1, "burst": 2 } }),
    ));
    let Some(browser) = open(&balancer) else { return };
    eventually("the backends are shown", || browser.text("#healthy") == "3 of 3 healthy");
    let rows = || {
        browser.run("return [...document.querySelectorAll('#backends tbody tr')].map((it) => it.innerText)")
    };
    for (row, backend) in rows().as_array().unwrap().iter().zip(&backends) {
        let row = row.as_str().unwrap();
        assert!(row.contains(&backend.address().to_string()) && row.contains("healthy"), "{row}");
    }
    let figure = || browser.text("#now dd");
    eventually("nothing goes on yet", || figure().starts_with('0'));
    for number in 0..60 {
        assert_eq!(balancer.get_for(&format!("10.0.0.{number}"), "/").status, 200);
    }
    eventually("requests are counted", || !figure().starts_with(['0', '–']));
    eventually("they are drawn", || {
        browser.run("return document.querySelectorAll('.curve').length >= 5") == true
    });
    (0..9).for_each(|_| _ = balancer.get_for("10.0.1.1", "/"));
    eventually("a reason is shown", || browser.text("#reasons").contains("rate_limited"));
    let limited = || browser.run("return document.querySelectorAll('#now dd')[1].innerText");
    eventually("what was refused is in the picture of requests", || {
        !matches!(limited().as_str(), Some("0/s" | "–"))
    });

    backends[1].stop();
    let dead = backends[1].address().to_string();
    eventually("it is shown as unhealthy, before the others", || {
        let rows = rows();
        let words = |index: usize| rows[index].as_str().unwrap().to_owned();
        words(0).contains(&dead) && words(0).contains("unhealthy") && !words(1).contains("unhealthy")
    });
    let why = browser.text("#backends .why");
    assert!(why.contains("GET /health") || why.contains("refused"), "{why}");
    eventually("the head says so", || browser.text("#healthy") == "2 of 3 healthy");
    assert_clean(&browser, &balancer);
}

#[test]
fn a_file_with_a_mistake_is_told_of_until_it_is_put_right() {
    let backend = Backend::named("one");
    let balancer = Balancer::start(config(&[&backend], json!({ "workers": 5 })));
    let Some(browser) = open(&balancer) else { return };
    eventually("the configuration's time is shown", || browser.text("#file").starts_with("of "));
    assert_eq!(browser.text("#workers"), "0 of 5");
    balancer.write_config("{");
    eventually("the mistake is told of", || browser.text("#file").starts_with("not reloaded at "));
    let told = browser.text("#broken");
    assert!(told.contains("a restart would fail") && told.contains("never closed"), "{told}");
    balancer.write_config(&config(&[&backend], json!({ "workers": 5 })).to_string());
    eventually("it is put right", || browser.text("#file").starts_with("of "));
    assert_eq!(browser.run("return document.querySelector('#broken').hidden"), true);
    assert_eq!(browser.text("#version"), env!("CARGO_PKG_VERSION"));
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(browser.text("#host"), hostname.trim());
    assert_clean(&browser, &balancer);
}

#[test]
fn it_fits_a_phone_in_light_and_dark() {
    let backends = ["0", "1"].map(Backend::named);
    let limit = json!({ "enabled": true, "requests_per_second": 1, "burst": 1 });
    let balancer = Balancer::start(config(&backends.each_ref(), json!({ "rate_limit": limit })));
    (0..4).for_each(|_| _ = balancer.get("/"));
    let Some(browser) = open(&balancer) else { return };
    eventually("the backends are shown", || browser.text("#healthy") == "2 of 2 healthy");
    eventually("a reason is shown", || browser.text("#reasons").contains("rate_limited"));
    let cut = "return [...document.querySelectorAll('header *, main *:not(.hidden)')]
        .filter((it) => it.scrollWidth > it.clientWidth + 1 && getComputedStyle(it).overflowX !== 'visible')
        .map((it) => it.innerText)";
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        for width in [360, 768, 1280] {
            browser.resize(width, 800, width == 360);
            let page = "const it = document.scrollingElement; return [innerWidth, it.scrollWidth]";
            assert_eq!(browser.run(page), json!([width, width]), "{scheme}");
            assert_eq!(browser.run(cut), json!([]), "no text is cut at {width}");
        }
        grounds.push(browser.run("return getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(grounds[0], grounds[1]);
    let tops = || {
        let script = "return ['#s-backends', '#charts'].map((it) => document.querySelector(it).getBoundingClientRect().top)";
        let tops = browser.run(script);
        (tops[0].as_f64().unwrap(), tops[1].as_f64().unwrap())
    };
    browser.resize(1280, 800, false);
    assert!(tops().1 < tops().0, "charts come first where there is room");
    browser.resize(360, 800, true);
    assert!(tops().0 < tops().1, "backends come first on a phone");
    assert_clean(&browser, &balancer);
}

#[test]
fn it_says_when_the_balancer_does_not_answer_and_recovers() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    let Some(browser) = open(&balancer) else { return };
    eventually("it is live", || browser.text("#live").starts_with("updated"));
    let colours = "const colour = (it) => getComputedStyle(it).color;
        const good = colour(document.body.appendChild(Object.assign(document.createElement('i'), { className: 'good' })));
        document.body.lastChild.remove();
        const all = [...document.querySelectorAll('main *, header *')];
        return all.filter((it) => it.innerText && colour(it) === good).length";
    assert_ne!(browser.run(colours), 0, "what is well is green");
    balancer.signal(Signal::STOP);
    eventually("it says so", || browser.text("#down").contains("does not answer since"));
    assert_eq!(browser.run(colours), 0, "nothing stays green");
    assert_eq!(browser.text("#healthy"), "unknown");
    assert!(browser.text("#asof").starts_with("as they were at "));
    balancer.signal(Signal::CONT);
    eventually("it recovers", || {
        browser.text("#live").starts_with("updated") && browser.text("#down").trim().is_empty()
    });
}

/// Somebody opens the page because users complain: probes pass, and each request is answered with 500.
#[test]
fn an_application_that_answers_only_500_is_red_within_two_seconds_of_opening() {
    let broken = Backend::that(Behaviour::Answers(Answer { status: 500, ..Answer::ok("oh") }));
    let balancer = Balancer::over(&[&broken]).once_probed();
    let Some(browser) = browser() else { return };
    (0..5).for_each(|_| assert_eq!(balancer.get("/").status, 500));
    balancer.metrics_after(5);
    assert_eq!(balancer.states(), ["healthy"], "by its probes");
    browser.open(&page_of(&balancer));
    let red =
        "const state = document.querySelector('#backends .state'), head = document.querySelector('#healthy');
        const isRed = (it) => it && getComputedStyle(it).color === 'rgb(195, 34, 44)';
        return isRed(state) && isRed(head) ? performance.now() : null";
    // On a busy machine the page opens so late that what was asked before is no rate any more.
    let after = eventually("it is red", || {
        balancer.get("/");
        browser.run(red).as_f64()
    });
    let most = with_room(Duration::from_secs(2)).as_secs_f64() * 1000.0;
    assert!(after < most, "{after} ms after it was opened");
    assert_eq!(
        (browser.text("#healthy"), browser.text("#backends .state")),
        ("0 of 1 healthy".into(), "failing".into())
    );
    let why = browser.text("#backends .why");
    assert_eq!(why, "100 % of the last minute's attempts were 5xx; probes pass");
    let figures = browser.run("return [...document.querySelectorAll('#now dd')].map((it) => it.innerText)");
    let errors = figures[3].as_str().unwrap();
    assert!(errors.ends_with("/s") && errors != "0/s", "the first draw has rates: {figures}");
}

#[test]
fn only_rows_that_say_so_are_counted_as_healthy_and_each_pool_has_its_algorithm() {
    let (one, idle, failing) =
        (Backend::named("one"), Backend::named("idle"), Backend::that(Behaviour::ClosesBeforeHead));
    let mut config = config(
        &[&one, &idle],
        json!({
            "admin": { "listen": "127.0.0.1:0" },
            "pools": { "other": { "algorithm": "least_conn", "backends": [{ "url": failing.url() }] } },
            "routes": [{ "path": "/other", "pool": "other" }],
            "circuit_breaker": { "failures": 2 },
        }),
    );
    config["backends"][1]["weight"] = json!(0);
    let admin = Admin::over(config);
    let balancer = &admin.balancer;
    let Some(browser) = open(balancer) else { return };
    eventually("a weight of 0 is not counted", || browser.text("#healthy") == "2 of 3 healthy");
    (0..3).for_each(|_| _ = balancer.get("/other"));
    eventually("nor an open breaker", || browser.text("#healthy") == "1 of 3 healthy");
    let rows =
        browser.run("return [...document.querySelectorAll('#backends tbody tr')].map((it) => it.innerText)");
    let row = |index: usize| rows[index].as_str().unwrap().to_owned();
    assert!(row(0).starts_with("Pool other · least_conn"), "{rows}");
    assert!(row(1).contains("breaker open"), "{rows}");
    assert!(row(2).starts_with("Pool default · round_robin"), "{rows}");
    assert!(row(3).contains("weight 0") && row(4).contains("healthy"), "{rows}");
    admin.post(&format!("/backends/drain?url={}", one.url()));
    eventually("nor one that drains", || browser.text("#healthy") == "0 of 3 healthy");
    assert_clean(&browser, balancer);
}

/// Who was out of reach for a while, or looked elsewhere, is told what happened meanwhile.
#[test]
fn it_shows_what_happened_while_the_network_was_away() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]).once_probed();
    balancer.get("/");
    let Some(browser) = open(&balancer) else { return };
    eventually("it is live", || browser.text("#live").starts_with("updated"));
    let network = |offline: bool| {
        let conditions =
            json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        browser.devtools("Network.enable", &json!({}));
        browser.devtools("Network.emulateNetworkConditions", &conditions);
    };
    network(true);
    eventually("it says so", || browser.text("#down").contains("does not answer since"));
    (0..200).for_each(|_| assert_eq!(balancer.get("/").status, 200));
    // Longer than what it draws a straight line over.
    let_pass(Duration::from_secs(9));
    network(false);
    eventually("it is live again", || browser.text("#live").starts_with("updated"));
    let asked =
        "return performance.getEntriesByType('resource').filter((it) => it.name.endsWith('&history')).length";
    eventually("it has asked for what it missed", || browser.run(asked).as_u64() >= Some(2));
    let runs = "return document.querySelectorAll('#charts figure:nth-child(1) .curve').length";
    eventually("no curve is in pieces", || browser.run(runs) == 2);
    let highest = "return Number([...document.querySelectorAll('#charts figure:nth-child(1) text[text-anchor=end]')].at(-1).textContent)";
    eventually("the burst is drawn", || browser.run(highest).as_f64() >= Some(20.0));
}

/// What was before it was opened is drawn.
#[test]
fn it_shows_what_happened_before_it_was_opened() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]).once_probed();
    let remembers = |total: u64| {
        let page = balancer.get("/lb-metrics?history=1").json();
        page["history"]["samples"].as_array().unwrap().iter().any(|it| it["total_requests"] == total)
    };
    // Without a sample of before there would be no rate to draw.
    eventually("what was before is remembered", || remembers(0));
    (0..40).for_each(|_| assert_eq!(balancer.get("/").status, 200));
    eventually("it is remembered", || remembers(40));
    let Some(browser) = open(&balancer) else { return };
    eventually("it is drawn", || {
        let curves = "return document.querySelectorAll('#charts figure:nth-child(1) .curve')[0]?.getTotalLength() ?? 0";
        browser.run(curves).as_f64() > Some(5.0)
    });
    let latency =
        browser.run("return document.querySelectorAll('#charts figure:nth-child(3) .curve').length");
    assert_eq!(latency, 3, "percentiles of requests that came before");
}

/// axe looks for what keeps people out, in each state of the page. Where axe is not here that is said.
#[test]
fn axe_finds_nothing() {
    let axe = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/browser/node_modules/axe-core/axe.min.js");
    let Ok(axe) = std::fs::read_to_string(axe) else {
        return skip("no axe-core; tests/browser/install gets it");
    };
    let (one, down) = (Backend::named("one"), Backend::that(Behaviour::Refuses));
    let limit = json!({ "enabled": true, "requests_per_second": 1, "burst": 1 });
    let balancer = Balancer::start(config(
        &[&one, &down],
        json!({
            "rate_limit": limit,
            "pools": { "other": { "backends": [{ "url": one.url() }] } },
            "routes": [{ "path": "/other", "pool": "other" }],
        }),
    ));
    balancer.wait_for_states(&["healthy", "unhealthy", "healthy"]);
    (0..5).for_each(|_| _ = balancer.get("/"));
    let Some(browser) = open(&balancer) else { return };
    eventually("it is drawn", || browser.text("#healthy") == "2 of 3 healthy");
    let look = |what: &str| {
        for (scheme, width) in [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)] {
            browser.prefer(scheme);
            browser.resize(width, 800, width == 390);
            let found = browser.run(&format!("{axe}; return axe.run().then((found) => found.violations.map((it) => [it.id, it.nodes.map((node) => node.html)]))"));
            assert_eq!(found, json!([]), "{what}, {scheme}, {width}");
        }
    };
    look("as it is");
    balancer.write_config("{");
    eventually("the mistake is told of", || browser.text("#broken").contains("never closed"));
    look("with a broken file");
    balancer.signal(Signal::STOP);
    eventually("it says so", || browser.text("#down").contains("does not answer since"));
    look("without an answer");
    balancer.signal(Signal::CONT);
}

/// `docs/screenshot` has it draw the picture in the README (`LB_SCREENSHOT`), after traffic for as long as the
/// charts show. Without that it runs for a few seconds, so that it is known to work.
#[test]
fn a_picture_of_a_lively_page() {
    let kept = std::env::var_os("LB_SCREENSHOT").map(|file| Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
    let seconds: f64 = if kept.is_some() { 930.0 } else { 3.0 };
    let slow = |name: &str, milliseconds| {
        let latency = Duration::from_millis(milliseconds);
        Backend::that(Behaviour::Echo(EchoOptions { name: name.to_owned(), latency, fail: false }))
    };
    let mut backends = [slow("a", 4), Backend::named("b"), slow("c", 9), slow("d", 4), slow("e", 6)];
    let mut config = config(
        &backends.each_ref(),
        json!({
            "algorithm": "least_conn",
            "health_check": { "interval": "2s" },
            "rate_limit": { "enabled": true, "requests_per_second": 60, "burst": 120 },
            "admin": { "listen": "127.0.0.1:0" },
        }),
    );
    config["backends"][2]["weight"] = json!(2);
    config["backends"][3]["backup"] = json!(true);
    let admin = Admin::over(config);
    let balancer = &admin.balancer;
    let Some(browser) = open(balancer) else { return };

    let stop = Stop::default();
    thread::scope(|scope| {
        let _at_the_end = stop.at_the_end();
        for client in 0..6 {
            let stop = &stop;
            scope.spawn(move || traffic(balancer, client, stop));
        }
        let start = Instant::now();
        let wait_until = |share: f64| {
            let left = start + Duration::from_secs_f64(seconds * share);
            while Instant::now() < left {
                thread::park_timeout(Duration::from_millis(50));
            }
        };
        wait_until(0.35);
        backends[1].set_failing(true);
        wait_until(0.39);
        backends[1].set_failing(false);
        wait_until(0.6);
        admin.post(&format!("/backends/drain?url={}", backends[4].url()));
        wait_until(0.8);
        backends[2].stop();
        wait_until(1.0);
        let files = tempfile::tempdir().unwrap();
        let pictures =
            [("light", 1280, false, ""), ("dark", 1280, false, "-dark"), ("light", 390, true, "-phone")];
        for (scheme, width, phone, suffix) in pictures {
            browser.prefer(scheme);
            browser.resize(width, 760, phone);
            eventually("it is drawn anew", || browser.run(&drawn(width)) == true);
            let picture = browser.screenshot(true);
            assert!(picture.starts_with(b"\x89PNG") && picture.len() > 10_000, "{} bytes", picture.len());
            // The dark one is not for the docs.
            let file = match (&kept, suffix) {
                (Some(file), "") => file.clone(),
                (Some(file), "-phone") => file.with_file_name("dashboard-phone.png"),
                (Some(_), _) => std::env::temp_dir().join(format!("dashboard{suffix}.png")),
                (None, _) => files.path().join("picture.png"),
            };
            std::fs::write(file, picture).unwrap();
        }
    });
}

/// Whether each chart has been drawn as wide as it is in a window of this width.
fn drawn(width: u32) -> String {
    format!(
        "const charts = [...document.querySelectorAll('#charts .plot svg')];
        return innerWidth === {width} && charts.length > 0 &&
            charts.every((it) => it.viewBox.baseVal.width === it.parentNode.clientWidth)"
    )
}

/// A client whose pace swings, and who asks for more than it may have now and then.
fn traffic(balancer: &Balancer, client: u32, stop: &Stop) {
    let start = Instant::now();
    while !stop.is_set() {
        let phase = start.elapsed().as_secs_f64() / (31.0 + 7.0 * f64::from(client));
        let pause =
            0.030 + 0.018 * (phase * std::f64::consts::TAU).sin() - if client == 0 { 0.010 } else { 0.0 };
        balancer.get_for(&format!("10.0.0.{client}"), "/");
        thread::park_timeout(Duration::from_secs_f64(pause.max(0.002)));
    }
}
