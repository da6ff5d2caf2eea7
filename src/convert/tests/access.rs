//! Clients that the old program refuses are refused here, or the report says so.

use serde_json::{Value as Json, json};

use super::{converted, readable};

#[test]
fn whom_a_backend_s_own_rules_keep_out_stays_out() {
    let text = "userlist u\n user a password b\nfrontend f\n mode http\n bind :80\n acl inside src 10.0.0.0/8\n \
                tcp-request connection reject if { src 198.51.100.0/24 }\n http-request tarpit if { path /wp-login.php }\n \
                http-request return status 403 if { path /metrics } !inside\n use_backend nobody if { path /.env }\n \
                use_backend nobody if { path_beg /old } !inside\n use_backend shut if { path_beg /shut }\n \
                use_backend adm if { path_beg /adm }\n default_backend web\n\
                backend web\n mode http\n acl ok http_auth(u)\n http-request auth if ! ok { path_beg /login }\n server s 10.0.0.1:80\n\
                backend nobody\n mode http\n http-request deny deny_status 404\n\
                backend shut\n mode http\n http-request deny\n server s 10.0.0.2:80\n\
                backend adm\n mode http\n acl a src 10.0.0.0/8\n acl b src 192.0.2.0/24\n acl ok http_auth(u)\n http-request deny if !a ok\n \
                http-request deny if !b\n server s 10.0.0.3:80\n\
                listen stats\n mode http\n bind :1936\n stats enable\n";
    let (config, rows) = converted("haproxy", text);
    let routes = config["routes"].as_array().unwrap();
    let route = |name: &str, value: &str| routes.iter().find(|route| route[name] == value).expect(value);
    assert_eq!(route("path_exact", "/metrics")["allow"], json!(["10.0.0.0/8"]), "{config}");
    assert_eq!(route("path_exact", "/.env")["respond"], json!({ "status": 404 }), "{config}");
    assert_eq!(route("path", "/old")["allow"], json!(["10.0.0.0/8"]), "{config}");
    assert_eq!(route("path", "/shut")["respond"], json!({ "status": 403 }), "{config}");
    assert_eq!(route("path", "/login")["basic_auth"]["users"], "users.htpasswd", "{config}");
    let admin = route("path", "/adm");
    assert_eq!(admin["allow"], json!(["10.0.0.0/8"]));
    assert!(admin["deny"].as_array().unwrap().contains(&json!("0.0.0.0/0")), "{config}");
    assert!(
        routes
            .iter()
            .all(|route| route["deny"].as_array().is_some_and(|all| all.contains(&json!("198.51.100.0/24")))
                || route.get("respond").is_some()),
        "{config}"
    );
    assert_eq!(route("path_exact", "/wp-login.php")["respond"]["status"], 403, "{config}");
    // A listener that serves only HAProxy's own pages must not serve all routes.
    assert_eq!(config["listen"], "0.0.0.0:80");
    let bind = rows.iter().find(|row| row["directive"] == "bind :1936").unwrap();
    assert_eq!(bind["verdict"], "differs");
}

#[test]
fn who_may_not_use_other_methods_may_not_here_and_what_is_unknown_lets_nobody_in() {
    let text = "server { listen 80; auth_basic a; auth_basic_user_file /u; \
                location /ro { limit_except GET { deny all; } proxy_pass http://a; }\n\
                location /some { limit_except GET POST { allow 10.0.0.0/8; deny all; } proxy_pass http://a; }\n\
                location /put { auth_basic off; limit_except GET { auth_basic w; auth_basic_user_file /w; } proxy_pass http://a; } }";
    let (config, rows) = converted("nginx", text);
    let routes = config["routes"].as_array().unwrap();
    let both = |path: &str| {
        let of_path: Vec<_> = routes.iter().filter(|route| route["path"] == path).collect();
        let with = *of_path.iter().find(|route| !route["methods"].is_null()).unwrap();
        let without = *of_path.iter().find(|route| route["methods"].is_null()).unwrap();
        (with, without)
    };
    let (get, others) = both("/ro");
    assert_eq!((&get["methods"], &get["allow"]), (&json!(["GET", "HEAD"]), &Json::Null), "{config}");
    assert_eq!(others["respond"]["status"], 403, "{config}");
    let (get, others) = both("/some");
    assert_eq!(get["methods"], json!(["GET", "POST", "HEAD"]), "{config}");
    assert_eq!(
        (&others["allow"], others["basic_auth"]["users"].as_str()),
        (&json!(["10.0.0.0/8"]), Some("/u"))
    );
    let (get, others) = both("/put");
    assert_eq!((&get["basic_auth"], others["basic_auth"]["users"].as_str()), (&Json::Null, Some("/w")));
    assert!(readable(&config, &rows));

    let text = "http:\n  routers: {r: {rule: 'PathPrefix(`/`)', middlewares: [login@docker], service: s}}\n  services: {s: {loadBalancer: {servers: [{url: 'http://a'}]}}}\n";
    let (config, _) = converted("traefik", text);
    assert_eq!(config["routes"][0]["deny"], json!(["0.0.0.0/0", "::/0"]), "{config}");

    let text = "http://a.example.com {\n @outside {\n  path /admin/*\n  not remote_ip 10.0.0.0/8\n }\n redir @outside /\n reverse_proxy b:1\n}\n";
    let (config, _) = converted("caddy", text);
    let admin = config["routes"].as_array().unwrap().iter().find(|route| route["path"] == "/admin").unwrap();
    assert_eq!(admin["allow"], json!(["10.0.0.0/8"]), "{config}");

    let text = "frontend f\n mode http\n bind :80\n http-request redirect location / if { path_beg /admin } !{ src 10.0.0.0/8 }\n default_backend b\n\
                backend b\n mode http\n server s 10.0.0.1:80\n";
    let (config, _) = converted("haproxy", text);
    let admin = config["routes"].as_array().unwrap().iter().find(|route| route["path"] == "/admin").unwrap();
    assert_eq!(admin["allow"], json!(["10.0.0.0/8"]), "{config}");
}
