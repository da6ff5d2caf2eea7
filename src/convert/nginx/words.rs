//! Directives without a meaning for a balancer, and those that we can't express.

use crate::convert::directive::Directive;
use crate::convert::report::{Report, Verdict};

const FILES: &str = "no files here; a program that serves them is a backend";
const CACHE: &str = "nothing is kept; a cache is a backend, or stands before it";
const SPEAKS: &str = "backends are asked by HTTP/1.1";

/// Adds a row for a remaining directive: why it is ignored, or what replaces it.
pub fn note(directive: &Directive, report: &mut Report) {
    let (verdict, why) = known(&directive.name, directive.arg(0));
    report.note(&directive.place, &directive.text(), verdict, why);
}

fn known(name: &str, arg: &str) -> (Verdict, &'static str) {
    use Verdict::{Differs, Ignored, NotHere, Same};
    match name {
        "user"
        | "daemon"
        | "master_process"
        | "worker_processes"
        | "worker_cpu_affinity"
        | "worker_priority"
        | "worker_rlimit_nofile"
        | "worker_shutdown_timeout"
        | "pcre_jit"
        | "thread_pool"
        | "working_directory" => {
            (Ignored, "one process, with `workers` threads; the service manager sets its user")
        }
        "pid" => (Ignored, "--pid-file"),
        "events" | "worker_connections" | "use" | "multi_accept" | "accept_mutex" => {
            (Ignored, "limits.max_connections bounds connections")
        }
        "env" => (Ignored, "${NAME} in the file is the environment's"),
        "load_module" | "http" => (Ignored, ""),
        "sendfile"
        | "sendfile_max_chunk"
        | "tcp_nopush"
        | "tcp_nodelay"
        | "aio"
        | "directio"
        | "output_buffers"
        | "postpone_output"
        | "reset_timedout_connection"
        | "keepalive_requests"
        | "keepalive_min_timeout"
        | "keepalive_time"
        | "lingering_close"
        | "lingering_time"
        | "lingering_timeout"
        | "open_file_cache"
        | "open_file_cache_valid"
        | "open_file_cache_min_uses"
        | "open_file_cache_errors"
        | "types_hash_max_size"
        | "types_hash_bucket_size"
        | "server_names_hash_bucket_size"
        | "server_names_hash_max_size"
        | "variables_hash_max_size"
        | "variables_hash_bucket_size"
        | "map_hash_max_size"
        | "map_hash_bucket_size"
        | "proxy_headers_hash_max_size"
        | "proxy_headers_hash_bucket_size"
        | "client_header_buffer_size"
        | "client_body_buffer_size"
        | "connection_pool_size"
        | "request_pool_size"
        | "log_not_found"
        | "log_subrequest"
        | "rewrite_log"
        | "gzip_comp_level"
        | "gzip_buffers"
        | "gzip_http_version"
        | "gzip_disable"
        | "merge_slashes"
        | "proxy_buffers"
        | "proxy_buffer_size"
        | "proxy_busy_buffers_size"
        | "proxy_max_temp_file_size"
        | "proxy_temp_file_write_size"
        | "proxy_temp_path"
        | "fastcgi_temp_path"
        | "uwsgi_temp_path"
        | "scgi_temp_path"
        | "client_body_temp_path"
        | "limit_req_log_level"
        | "limit_conn_log_level"
        | "limit_conn_zone"
        | "proxy_socket_keepalive" => (Ignored, "how nginx works inside"),
        "types" | "charset" | "charset_types" | "source_charset" | "override_charset" => {
            (Ignored, "backends say what they send")
        }
        "server_tokens" => (Ignored, "`Server` is the backend's; response_headers can remove it"),
        "ssl_ciphers"
        | "ssl_prefer_server_ciphers"
        | "ssl_ecdh_curve"
        | "ssl_dhparam"
        | "ssl_conf_command" => (Ignored, "what is offered is safe by itself, and can't be chosen"),
        "ssl_session_cache"
        | "ssl_session_timeout"
        | "ssl_session_tickets"
        | "ssl_buffer_size"
        | "ssl_early_data" => (Ignored, "sessions are resumed by themselves"),
        "ssl_stapling" | "ssl_stapling_verify" | "ssl_trusted_certificate" => {
            (Ignored, "OCSP answers are not stapled; certificate authorities give it up")
        }
        "ssl" => (Ignored, "tls.listen"),
        "ssl_client_certificate" | "ssl_verify_client" | "ssl_verify_depth" | "ssl_crl" => {
            (NotHere, "clients' certificates are not asked for")
        }
        "ssl_password_file" => (NotHere, "keys are read without a password"),
        "http2" | "http3" | "quic_retry" => match arg {
            "off" => (Same, ""),
            _ => (Differs, "HTTP/1.1 to clients"),
        },
        "proxy_http_version" => (Same, "1.1, with connections kept"),
        "proxy_buffering" | "proxy_request_buffering" => match arg {
            "off" => (Same, ""),
            _ => (Differs, "nothing is buffered: pieces are passed on as they come"),
        },
        "proxy_redirect" => match arg {
            "off" => (Same, ""),
            _ => (Differs, "`Location` is passed on as it is"),
        },
        "proxy_intercept_errors" => match arg {
            "off" => (Same, ""),
            _ => (NotHere, "error_pages are for the balancer's own answers; the backend's are passed on"),
        },
        "proxy_ignore_client_abort" => (Differs, "a client that goes ends its request"),
        "proxy_pass_request_headers" | "proxy_pass_request_body" | "proxy_pass_header" => {
            (Differs, "all is passed on but what request_headers and response_headers remove")
        }
        "proxy_send_timeout" | "proxy_next_upstream_timeout" => {
            (Differs, "timeouts.request bounds each attempt")
        }
        "proxy_ssl_server_name" => (Same, "always"),
        "proxy_ssl_protocols"
        | "proxy_ssl_ciphers"
        | "proxy_ssl_session_reuse"
        | "proxy_ssl_verify_depth" => (Ignored, "TLS 1.2 and 1.3 with what is safe"),
        "proxy_ssl_name" | "proxy_ssl_certificate" | "proxy_ssl_certificate_key" => {
            (NotHere, "the backend's name is its URL's, and no certificate of ours is shown")
        }
        "gzip_vary" => (Same, "always"),
        "proxy_cache_bypass" | "proxy_no_cache" => (Ignored, "nothing is kept"),
        "gzip_proxied" => (Same, "as with `any`"),
        "gunzip" | "gzip_static" | "brotli" | "brotli_types" | "brotli_comp_level" | "brotli_static" => {
            (NotHere, "gzip only, of answers as they pass")
        }
        "log_format" => (Differs, "logfmt, json with the fields that are named, or combined (LOGS.md)"),
        "limit_req_status" | "limit_conn_status" => (Differs, "429, and 503 for connections"),
        "limit_rate" | "limit_rate_after" => (NotHere, "answers are as fast as the client reads"),
        "limit_except" => (NotHere, "methods of a route, and one that responds with 403 for the rest"),
        "internal" => (Ignored, ""),
        "satisfy" => (NotHere, "access and login both have to let a request pass"),
        "auth_request_set" => (NotHere, "forward_auth.pass"),
        "auth_delay" => (NotHere, "forward_auth asks a service"),
        "root"
        | "alias"
        | "index"
        | "try_files"
        | "autoindex"
        | "autoindex_exact_size"
        | "autoindex_localtime"
        | "expires"
        | "etag"
        | "if_modified_since"
        | "add_before_body"
        | "add_after_body"
        | "ssi"
        | "dav_methods"
        | "mp4"
        | "flv"
        | "random_index"
        | "error_page" => (NotHere, FILES),
        "fastcgi_pass"
        | "fastcgi_param"
        | "fastcgi_index"
        | "fastcgi_split_path_info"
        | "uwsgi_pass"
        | "uwsgi_param"
        | "scgi_pass"
        | "scgi_param"
        | "grpc_pass"
        | "grpc_set_header"
        | "memcached_pass" => (NotHere, SPEAKS),
        "proxy_cache"
        | "proxy_cache_path"
        | "proxy_cache_key"
        | "proxy_cache_valid"
        | "proxy_cache_use_stale"
        | "proxy_cache_lock"
        | "proxy_cache_methods"
        | "proxy_store"
        | "proxy_ignore_headers"
        | "proxy_cache_min_uses"
        | "proxy_cache_background_update"
        | "proxy_cache_revalidate" => (NotHere, CACHE),
        "map" if arg == "$http_upgrade" => (Ignored, "upgrades need no words"),
        "map" | "geo" => (NotHere, "conditions are routes: headers, query, methods, host"),
        "split_clients" => (NotHere, "pools of a route, with shares"),
        "set" | "if" | "break" | "rewrite_by_lua_block" => {
            (NotHere, "no variables here; conditions are routes")
        }
        "stub_status" => (Differs, "/lb-metrics, and /lb-dashboard"),
        "sub_filter" | "sub_filter_once" | "sub_filter_types" => {
            (NotHere, "bodies are passed on as they are")
        }
        "mirror" => (NotHere, "a request goes to one backend"),
        "proxy_cookie_path"
        | "proxy_cookie_domain"
        | "proxy_cookie_flags"
        | "proxy_method"
        | "proxy_set_body" => (NotHere, "passed on as it is"),
        "proxy_bind" => (NotHere, "the system chooses the address"),
        "underscores_in_headers" | "ignore_invalid_headers" => {
            (Differs, "names with _ are passed on, but for look-alikes of the balancer's own fields")
        }
        "absolute_redirect" | "port_in_redirect" | "server_name_in_redirect" => {
            (Ignored, "redirect.to is what is sent")
        }
        "stream" | "mail" => (NotHere, "HTTP only"),
        "perl"
        | "js_import"
        | "js_content"
        | "access_by_lua_block"
        | "content_by_lua_block"
        | "header_filter_by_lua_block" => (NotHere, "no programs inside; forward_auth asks one"),
        _ => (NotHere, "this word is not known here"),
    }
}
