#!/usr/bin/env bash
# Builds saccade and serves the embedded model on 127.0.0.1:
#   ./run.sh [PORT] [OPTION of `saccade serve`]...
# PORT is 8080 unless given here or in the environment; so is LISTEN_HOST, 127.0.0.1 (0.0.0.0: everyone).
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
host=${LISTEN_HOST:-127.0.0.1}
port=${PORT:-8080}
if [[ ${1-} =~ ^[0-9]+$ ]]; then
  port=$1
  shift
fi

"$root/deploy/install-packages" build run
[[ -f $root/build/build.ninja ]] || meson setup "$root/build" "$root"
meson compile -C "$root/build" saccade

# Tells how to try it once the server listens and its model is loaded. The port file tells that it is this
# server that answers, not another one which held the port before.
announce() {
  local server=$1 port_file=$2 photograph=$root/docs/cat.jpg bound

  for ((tries = 0; tries < 600; tries++)); do
    kill -0 "$server" 2>/dev/null || break
    if [[ -s $port_file ]]; then
      bound=$(<"$port_file")
      if curl --silent --fail --output /dev/null --max-time 5 "http://127.0.0.1:$bound/readyz"; then
        [[ $PWD != "$root" ]] || photograph=docs/cat.jpg
        printf '\nready; try it from another terminal (or open http://127.0.0.1:%s/):\n\n' "$bound"
        printf "  curl -sS --data-binary @%q -H 'Content-Type: image/jpeg' 'http://127.0.0.1:%s/v1/classify?top_k=3'\n\n" \
          "$photograph" "$bound"
        break
      fi
    fi
    sleep 0.1
  done
  rm -f -- "$port_file"
}

port_file=$(mktemp)
# The subshell around it leaves the announcer to init: the server that takes this shell's place would not reap it.
(announce $$ "$port_file" &)
exec "$root/build/cli/saccade" serve --listen "$host:$port" --port-file "$port_file" "$@"
