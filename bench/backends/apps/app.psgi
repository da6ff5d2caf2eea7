# The PSGI application behind Starman.
sub {
    my $env = shift;
    my $fields = ['Content-Type' => 'text/plain', 'Content-Length' => 3];
    return [401, $fields, ["no\n"]] if $env->{PATH_INFO} eq '/refuse';
    sleep 2 if $env->{PATH_INFO} eq '/slow';
    1 while $env->{'psgi.input'}->read(my $piece, 65536);
    return [200, $fields, ["ok\n"]];
};
