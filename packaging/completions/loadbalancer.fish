# fish: put it into /usr/share/fish/vendor_completions.d or ~/.config/fish/completions.
set -l commands check demo replay convert drill explain health
set -l scenarios refuse reset-before-head reset-after-head half-a-body stall flap all-down reload drain
set -l algorithms round_robin least_conn ip_hash power_of_two consistent_hash all

complete -c loadbalancer -f
complete -c loadbalancer -s h -l help -d 'print help'
complete -c loadbalancer -s V -l version -d 'print the version'
complete -c loadbalancer -n "not __fish_seen_subcommand_from demo convert" -s c -l config -rF -d 'configuration file'

complete -c loadbalancer -n "not __fish_seen_subcommand_from $commands" -l pid-file -rF -d 'write the process number there'
complete -c loadbalancer -n "not __fish_seen_subcommand_from $commands" -a check -d 'read and check a configuration'
complete -c loadbalancer -n "not __fish_seen_subcommand_from $commands" -a demo -d 'three embedded backends and a balancer'
complete -c loadbalancer -n "not __fish_seen_subcommand_from $commands" -a replay -d 'a log through the code that chooses'
complete -c loadbalancer -n "not __fish_seen_subcommand_from $commands" -a convert -d 'another program'\''s configuration as ours'
complete -c loadbalancer -n "not __fish_seen_subcommand_from $commands" -a drill -d 'backends that fail on purpose'
complete -c loadbalancer -n "not __fish_seen_subcommand_from $commands" -a explain -d 'why a request went where it went'
complete -c loadbalancer -n "not __fish_seen_subcommand_from $commands" -a health -d 'should requests come to it'

complete -c loadbalancer -n "__fish_seen_subcommand_from check replay convert" -F
complete -c loadbalancer -n "__fish_seen_subcommand_from convert" -l from -x -a "nginx haproxy caddy traefik" -d 'whose file it is'
complete -c loadbalancer -n "__fish_seen_subcommand_from convert" -l release -x -d 'whose defaults it relies on'
complete -c loadbalancer -n "__fish_seen_subcommand_from convert" -l report -x -a "text json" -d 'how the report is written'
complete -c loadbalancer -n "__fish_seen_subcommand_from check" -l probe -d 'ask every backend'
complete -c loadbalancer -n "__fish_seen_subcommand_from check" -l quiet -d 'print mistakes and warnings only'
complete -c loadbalancer -n "__fish_seen_subcommand_from replay" -l algorithm -x -a "$algorithms" -d 'instead of the configured one'
complete -c loadbalancer -n "__fish_seen_subcommand_from replay" -l without -x -d 'leave this backend out'
complete -c loadbalancer -n "__fish_seen_subcommand_from replay" -l time-field -x -d 'which word is the time, and its unit'
complete -c loadbalancer -n "__fish_seen_subcommand_from drill" -a "$scenarios"
complete -c loadbalancer -n "__fish_seen_subcommand_from explain" -l id -x -d 'X-Request-ID'
complete -c loadbalancer -n "__fish_seen_subcommand_from explain" -l slowest -x -d 'how many requests'
complete -c loadbalancer -n "__fish_seen_subcommand_from explain" -l client -x -d 'address'
complete -c loadbalancer -n "__fish_seen_subcommand_from explain" -l path -x -d 'path'
complete -c loadbalancer -n "__fish_seen_subcommand_from explain" -l host -x -d 'host'
