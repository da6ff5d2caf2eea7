//! A real browser, driven over WebDriver's plain HTTP (<https://www.w3.org/TR/webdriver2/>).

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Client, Process, eventually};

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
    port: u16,
    session: String,
    _driver: Process,
    _profile: TempDir,
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
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new(driver);
        // What a browser keeps outside of its profile goes there, too.
        command.arg("--port=0").env("HOME", profile.path());
        let driver = Process::spawn(command);
        let port = eventually("the driver's port", || {
            let told =
                driver.stdout().into_iter().find(|line| line.contains("started successfully on port"))?;
            told.trim_end_matches('.').rsplit(' ').next()?.parse().ok()
        });
        let mut arguments: Vec<_> = ARGUMENTS.iter().map(ToString::to_string).collect();
        arguments.push(format!("--user-data-dir={}", profile.path().join("profile").display()));
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let session = ask(port, "POST", "/session", &wanted)["sessionId"].as_str().unwrap().to_owned();
        Browser { port, session, _driver: driver, _profile: profile }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        ask(self.port, "POST", &format!("/session/{}{path}", self.session), body)
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
        ask(self.port, "DELETE", &format!("/session/{}", self.session), &Value::Null);
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
