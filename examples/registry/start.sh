#!/bin/sh
# Starts a gateway and two instances of one service. The instances are programs that know nothing of the gateway.
# Kill one of the programs: it is started again, and no request fails. Ctrl-C ends everything.
cd "$(dirname "$0")" || exit 1

instance() { # http.server takes its port as an argument, so a shell passes PORT on
	exec weir register files --port 0 --health / --zone "$1" -- sh -c 'exec python3 -m http.server --bind 127.0.0.1 "$PORT"'
}

weir run weir.yaml --state off & gateway=$!
instance a & first=$!
instance b & second=$!
trap : INT # a terminal sends the signal to all of them
trap 'kill $first $second; wait $first $second; kill $gateway' TERM
wait
wait # again, because a signal ends the first wait
