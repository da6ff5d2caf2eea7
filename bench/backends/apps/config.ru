# The Rack application behind Puma, Thin and Unicorn.
run lambda { |env|
  fields = { 'content-type' => 'text/plain', 'content-length' => '3' }
  next [401, fields, ["no\n"]] if env['PATH_INFO'] == '/refuse'
  sleep 2 if env['PATH_INFO'] == '/slow'
  env['rack.input'].read if env['REQUEST_METHOD'] == 'POST'
  [200, fields, ["ok\n"]]
}
