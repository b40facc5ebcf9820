#!/bin/sh
# Starts a gateway, and two programs that know nothing of it as instances of one service.
# Kill one of the programs and look: it is replaced, and no request notices. Ctrl-C ends all.
cd "$(dirname "$0")" || exit 1

instance() { # http.server takes its port as an argument, so a shell hands PORT on
	exec weir register files --port 0 --health / --zone "$1" -- sh -c 'exec python3 -m http.server --bind 127.0.0.1 "$PORT"'
}

weir run weir.yaml --state off & gateway=$!
instance a & first=$!
instance b & second=$!
trap : INT # a terminal tells all of them
trap 'kill $first $second; wait $first $second; kill $gateway' TERM
wait
wait # for the first one ends with the signal
