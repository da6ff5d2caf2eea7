# WEBrick: `webrick.rb PORT`, ended as its documentation shows.
require 'webrick'

server = WEBrick::HTTPServer.new(BindAddress: '127.0.0.1', Port: ARGV[0].to_i, AccessLog: [],
                                 Logger: WEBrick::Log.new(File::NULL))
server.mount_proc '/' do |request, response|
  sleep 2 if request.path == '/slow'
  response.status = 401 if request.path == '/refuse'
  request.body if request.request_method == 'POST' && request.path != '/refuse'
  response.body = "ok\n"
end
trap('TERM') { server.shutdown }
server.start
