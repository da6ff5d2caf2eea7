//! A real browser, driven over WebDriver's plain HTTP (<https://www.w3.org/TR/webdriver2/>).

use std::path::Path;
use std::process::Command;

use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Client, Process, eventually};

/// Browsers at once: each takes some hundred megabytes, and waits most of the time.
const AT_ONCE: usize = 3;

/// Keeps it from asking anybody but the page's origin.
const ARGUMENTS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1280,900",
];

/// One window; ends when dropped.
pub struct Browser {
    driver: Driver,
    session: String,
    _profile: TempDir,
    _place: Place,
}

/// Who talks to the browser for us.
struct Driver {
    port: u16,
    _process: Process,
}

/// A place among those that may be open at once.
struct Place;

static TAKEN: Mutex<usize> = Mutex::new(0);
static LEFT: Condvar = Condvar::new();

impl Place {
    fn take() -> Place {
        let mut taken = TAKEN.lock();
        LEFT.wait_while(&mut taken, |taken| *taken >= AT_ONCE);
        *taken += 1;
        Place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *TAKEN.lock() -= 1;
        LEFT.notify_one();
    }
}

impl Driver {
    /// `None` where it has ended: it takes a free port of one address family, and needs that of the other, too.
    fn try_start(program: &Path, home: &Path) -> Option<Driver> {
        let mut command = Command::new(program);
        // What a browser keeps outside of its profile goes there, too.
        command.arg("--port=0").env("HOME", home);
        let mut process = Process::spawn(command);
        let port = |process: &Process| {
            let told =
                process.stdout().into_iter().find(|line| line.contains("started successfully on port"))?;
            told.trim_end_matches('.').rsplit(' ').next()?.parse().ok()
        };
        eventually("the driver tells its port, or ends", || {
            port(&process).is_some() || !process.is_running()
        });
        Some(Driver { port: port(&process)?, _process: process })
    }
}

impl Browser {
    /// Starts one; `None` where this machine has no driver.
    pub fn start() -> Option<Browser> {
        let path = std::env::var_os("PATH")?;
        let driver =
            std::env::split_paths(&path).map(|it| it.join("chromedriver")).find(|it| it.is_file())?;
        Some(Browser::with(&driver))
    }

    fn with(driver: &Path) -> Browser {
        let place = Place::take();
        let profile = tempfile::tempdir().unwrap();
        let driver = (0..10)
            .find_map(|_| Driver::try_start(driver, profile.path()))
            .unwrap_or_else(|| panic!("no port for the driver"));
        let mut arguments: Vec<_> = ARGUMENTS.iter().map(ToString::to_string).collect();
        arguments.push(format!("--user-data-dir={}", profile.path().join("profile").display()));
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let session = ask(driver.port, "POST", "/session", &wanted)["sessionId"].as_str().unwrap().to_owned();
        Browser { driver, session, _profile: profile, _place: place }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        ask(self.driver.port, "POST", &format!("/session/{}{path}", self.session), body)
    }

    /// Opens a page and waits until it is loaded.
    pub fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// What a function with this body returns in the page.
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The text, as a person sees it, of the first element that the selector finds.
    pub fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({})?.innerText ?? ''", json!(selector));
        self.run(&script).as_str().unwrap().to_owned()
    }

    /// What the page's console has had since the last call.
    pub fn console(&self) -> Vec<String> {
        let lines = self.post("/se/log", &json!({ "type": "browser" }));
        lines.as_array().unwrap().iter().map(ToString::to_string).collect()
    }

    /// A command of the browser's own protocol (<https://chromedevtools.github.io/devtools-protocol/>).
    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// The window's size, and whether it is a phone's.
    pub fn resize(&self, width: u32, height: u32, phone: bool) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": if phone { 2 } else { 1 }, "mobile": phone });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
    }

    /// `light` or `dark`.
    pub fn prefer(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// The page as a PNG; all of it, not only what the window shows, if that is asked for.
    pub fn screenshot(&self, whole: bool) -> Vec<u8> {
        let wanted = json!({ "format": "png", "captureBeyondViewport": whole });
        base64(self.devtools("Page.captureScreenshot", &wanted)["data"].as_str().unwrap())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver alone would leave the browser behind.
        ask(self.driver.port, "DELETE", &format!("/session/{}", self.session), &Value::Null);
    }
}

fn ask(port: u16, method: &str, path: &str, body: &Value) -> Value {
    let mut client = Client::connect(([127, 0, 0, 1], port).into());
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n");
    client.send(format!(
        "{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let answer = client.read_response();
    let value = answer.json()["value"].clone();
    assert!(answer.status == 200 || method == "DELETE", "{method} {path}: {value}");
    value
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte));
    let (mut bytes, mut bits, mut kept) = (Vec::with_capacity(text.len() * 3 / 4), 0, 0);
    for digit in digits {
        bits = (bits << 6 | digit) & 0xfff;
        kept += 6;
        if kept >= 8 {
            kept -= 8;
            bytes.push((bits >> kept) as u8);
        }
    }
    bytes
}
