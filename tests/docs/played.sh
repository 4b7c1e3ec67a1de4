# shellcheck shell=bash
# systemd: starts and ends the daemons as its units would, with the environment of their drop-ins.
systemctl() {
    case "$*" in
    daemon-reload | "restart grafana-server") ;;
    "enable --now smsbat-exporter" | "start smsbat-exporter" | "restart smsbat-exporter") stop; start ;;
    "stop smsbat-exporter") stop ;;
    "restart prometheus")
        prometheus --config.file="$MACHINE/etc/prometheus/prometheus.yml" \
            --storage.tsdb.path="$MACHINE/tsdb" \
            --web.listen-address="127.0.0.1:$PORT_9090" > "$MACHINE/prometheus.log" 2>&1 &
        answering "$PORT_9090" ;;
    "restart prometheus-alertmanager")
        prometheus-alertmanager --config.file="$MACHINE/etc/prometheus/alertmanager.yml" \
            --storage.path="$MACHINE/alertmanager" --web.listen-address="127.0.0.1:$PORT_9093" \
            --cluster.listen-address= > "$MACHINE/alertmanager.log" 2>&1 &
        answering "$PORT_9093" ;;
    *) echo "nobody plays systemctl $*" >&2; return 1 ;;
    esac
}
start() {
    local environment
    environment=$(sed -n 's/^Environment=//p' "$MACHINE"/etc/systemd/system/smsbat-exporter.service.d/*.conf \
        2> /dev/null || true)
    env CREDENTIALS_DIRECTORY="$MACHINE/etc/smsbat-exporter" $environment "$PYTHON" -m exporter run \
        --config.file="$MACHINE/etc/smsbat-exporter/config.yaml" >> "$MACHINE/daemon.log" 2>&1 &
    daemon=$!
    answering "$PORT_10978"
}
stop() {
    [ -n "${daemon:-}" ] || return 0
    kill -TERM "$daemon"
    wait "$daemon"
    daemon=
}

# The command: what runs until it is stopped is stopped once it answers, unless it was put in the background.
smsbat-exporter() {
    local port=$PORT_10978 where=() in_background=
    [ "$BASHPID" = "$$" ] || in_background=yes
    case "${1:-}" in
    simulator)
        port=$PORT_SPARE
        [ -z "$in_background" ] || port=$PORT_10980
        where=(--listen="127.0.0.1:$port") ;;
    run | demo) ;;
    *) "$PYTHON" -m exporter "$@"; return ;;
    esac
    [ -z "$in_background" ] || exec "$PYTHON" -m exporter "$@" "${where[@]}"
    "$PYTHON" -m exporter "$@" "${where[@]}" &
    local process=$!
    answering "$port" "$process"
    kill -INT "$process"
    wait "$process"
}

answering() {
    until curl --insecure --silent --output /dev/null "http://127.0.0.1:$1/-/ready" ||
        curl --insecure --silent --output /dev/null "https://127.0.0.1:$1/-/ready"; do
        kill -0 "${2:-$!}"
        sleep 0.1
    done
}

# Takes a look again and again, until it shows a number that isn't 0.
shown() {
    local look found
    look=$(cat)
    until found=$(eval "$look") && grep -q ' [1-9]' <<< "$found"; do sleep 0.1; done
    echo "$found"
}
