//! `/lb-dashboard`: what it sends, and what a real browser makes of it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use loadbalancer::demo::echo::EchoOptions;
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};

use crate::support::{Admin, Backend, Balancer, Behaviour, Browser, Signal, config, eventually, skip};

/// One browser at a time is enough for a small machine.
static ALONE: Mutex<()> = Mutex::new(());

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
    assert!(one.body.len() < 36 << 10, "{} bytes", one.body.len());
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

/// A browser with the page open, for a test that is skipped where there is none.
fn open(balancer: &Balancer) -> Option<(Browser, MutexGuard<'static, ()>)> {
    let alone = ALONE.lock();
    let Some(browser) = Browser::start() else {
        skip("no chromedriver; tests/browser/install gets it");
        return None;
    };
    browser.open(&format!("http://{}/lb-dashboard", balancer.address()));
    Some((browser, alone))
}

/// The console is empty, and nobody was asked but the balancer.
#[track_caller]
fn assert_clean(browser: &Browser, balancer: &Balancer) {
    assert_eq!(browser.console(), [""; 0]);
    let asked = browser.run("return performance.getEntriesByType('resource').map((it) => it.name)");
    let expected = format!("http://{}/lb-metrics?buckets", balancer.address());
    let asked = asked.as_array().unwrap();
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|url| *url == expected), "{asked:?}");
}

#[test]
fn it_shows_traffic_and_a_backend_that_dies() {
    let mut backends = ["0", "1", "2"].map(Backend::named);
    let balancer = Balancer::start(config(
        &backends.each_ref(),
        json!({ "health_check": { "interval": "1s" }, "rate_limit": { "enabled": true, "requests_per_second": 1, "burst": 2 } }),
    ));
    let Some((browser, _alone)) = open(&balancer) else { return };
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

    backends[1].stop();
    eventually("it is shown as unhealthy", || {
        let rows = rows();
        let words = |index: usize| rows[index].as_str().unwrap().to_owned();
        words(1).contains("unhealthy") && words(1).contains("for ") && !words(0).contains("unhealthy")
    });
    eventually("the head says so", || browser.text("#healthy") == "2 of 3 healthy");
    assert_clean(&browser, &balancer);
}

#[test]
fn a_file_with_a_mistake_is_told_of_until_it_is_put_right() {
    let backend = Backend::named("one");
    let balancer = Balancer::start(config(&[&backend], json!({ "workers": 5 })));
    let Some((browser, _alone)) = open(&balancer) else { return };
    eventually("the configuration's time is shown", || browser.text("#file").starts_with("of "));
    assert_eq!(browser.text("#workers"), "0 of 5");
    balancer.write_config("{");
    eventually("the mistake is told of", || browser.text("#file").starts_with("not reloaded at "));
    balancer.write_config(&config(&[&backend], json!({ "workers": 5 })).to_string());
    eventually("it is put right", || browser.text("#file").starts_with("of "));
    assert_clean(&browser, &balancer);
}

#[test]
fn it_fits_a_phone_in_light_and_dark() {
    let backends = ["0", "1"].map(Backend::named);
    let balancer = Balancer::over(&backends.each_ref());
    let Some((browser, _alone)) = open(&balancer) else { return };
    eventually("the backends are shown", || browser.text("#healthy") == "2 of 2 healthy");
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        for width in [360, 768, 1280] {
            browser.resize(width, 800, width == 360);
            let page = "const it = document.scrollingElement; return [innerWidth, it.scrollWidth]";
            assert_eq!(browser.run(page), json!([width, width]), "{scheme}");
        }
        grounds.push(browser.run("return getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(grounds[0], grounds[1]);
    assert_clean(&browser, &balancer);
}

#[test]
fn it_says_when_the_balancer_does_not_answer_and_recovers() {
    let backend = Backend::named("one");
    let balancer = Balancer::over(&[&backend]);
    let Some((browser, _alone)) = open(&balancer) else { return };
    eventually("it is live", || browser.text("#live").starts_with("updated"));
    balancer.signal(Signal::STOP);
    eventually("it says so", || browser.text("#down").contains("does not answer since"));
    balancer.signal(Signal::CONT);
    eventually("it recovers", || {
        browser.text("#live").starts_with("updated") && browser.text("#down").trim().is_empty()
    });
}

/// `docs/screenshot` has it draw the picture in the README (`LB_SCREENSHOT`), after traffic for as long as the
/// charts show. Without that it runs for a few seconds, so that it is known to work.
#[test]
fn a_picture_of_a_lively_page() {
    let kept = std::env::var_os("LB_SCREENSHOT").map(|file| Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
    let seconds: f64 = if kept.is_some() { 330.0 } else { 3.0 };
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
    let Some((browser, _alone)) = open(balancer) else { return };

    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for client in 0..6 {
            let over = &over;
            scope.spawn(move || traffic(balancer, client, over));
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
            // Until it has been drawn anew.
            thread::park_timeout(Duration::from_millis(1500));
            let picture = browser.screenshot(phone);
            assert!(picture.starts_with(b"\x89PNG") && picture.len() > 10_000, "{} bytes", picture.len());
            // Only the first one is for the docs.
            let file = match (&kept, suffix) {
                (Some(file), "") => file.clone(),
                (Some(_), _) => std::env::temp_dir().join(format!("dashboard{suffix}.png")),
                (None, _) => files.path().join("picture.png"),
            };
            std::fs::write(file, picture).unwrap();
        }
        over.store(true, SeqCst);
    });
}

/// A client whose pace swings, and who asks for more than it may have now and then.
fn traffic(balancer: &Balancer, client: u32, over: &AtomicBool) {
    let start = Instant::now();
    while !over.load(SeqCst) {
        let phase = start.elapsed().as_secs_f64() / (31.0 + 7.0 * f64::from(client));
        let pause =
            0.030 + 0.018 * (phase * std::f64::consts::TAU).sin() - if client == 0 { 0.010 } else { 0.0 };
        balancer.get_for(&format!("10.0.0.{client}"), "/");
        thread::park_timeout(Duration::from_secs_f64(pause.max(0.002)));
    }
}
