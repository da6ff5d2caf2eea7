<?php // For PHP's own server and Apache's mod_php.
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path === '/refuse') { http_response_code(401); }
elseif ($path === '/slow') { sleep(2); }
else { strlen(file_get_contents('php://input')); }
header('Content-Type: text/plain');
header('Content-Length: 3');
echo "ok\n";
