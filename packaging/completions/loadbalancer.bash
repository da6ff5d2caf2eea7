# bash: source it, or put it into /usr/share/bash-completion/completions as `loadbalancer`.
_loadbalancer() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command='' index
    COMPREPLY=()
    for ((index = 1; index < COMP_CWORD; index++)); do
        case ${COMP_WORDS[index]} in
            check | demo | replay | convert | drill | explain | health) command=${COMP_WORDS[index]}; break ;;
        esac
    done
    case $before in
        --config | -c | --pid-file) _loadbalancer_files; return ;;
        --algorithm)
            _loadbalancer_words 'round_robin least_conn ip_hash power_of_two consistent_hash all'; return ;;
        --from) _loadbalancer_words 'nginx haproxy caddy traefik'; return ;;
        --report) _loadbalancer_words 'text json'; return ;;
        --release | --time-field | --without | --slowest | --id | --client | --path | --host) return ;;
    esac
    case $command in
        '') _loadbalancer_words 'check demo replay convert drill explain health --config -c --pid-file --help -h --version -V' ;;
        check) [[ $word == -* ]] && _loadbalancer_words '--probe --quiet --config --help' || _loadbalancer_files ;;
        demo) _loadbalancer_words '--help' ;;
        replay)
            [[ $word == -* ]] && _loadbalancer_words '--config --algorithm --without --time-field --help' || _loadbalancer_files ;;
        convert)
            [[ $word == -* ]] && _loadbalancer_words '--from --release --report --help' || _loadbalancer_files ;;
        drill) _loadbalancer_words "refuse reset-before-head reset-after-head half-a-body stall flap all-down
            reload drain --config --help" ;;
        health) _loadbalancer_words '--config --help' ;;
        explain) _loadbalancer_words '--id --slowest --client --path --host --config --help' ;;
    esac
}

_loadbalancer_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$word")
}

_loadbalancer_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
}

complete -F _loadbalancer loadbalancer
