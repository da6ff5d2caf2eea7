-- What wrk sends and what it reports: one line of JSON, times in microseconds.
-- The word `post` after `--` makes each request a POST of 4 KiB.

function init(args)
    for _, word in pairs(args) do
        if word == "post" then
            wrk.method = "POST"
            wrk.body = string.rep("x", 4096)
            wrk.headers["Content-Type"] = "application/octet-stream"
        end
    end
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '{"requests":%d,"micros":%d,"bytes":%d,"p50":%d,"p99":%d,' ..
        '"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}\n',
        summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
        errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
