#!/usr/bin/env bash
# Installs the programs that the tests need and that are not Go modules: nginx as a backend, dnsmasq as a name server,
# etcd, Node.js with npm and Python for functions, AWS's command line as a client of functions, iproute2, and the C
# compiler that the race detector links with.
set -euo pipefail

missing=()
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
command -v dnsmasq >/dev/null || [ -x /usr/sbin/dnsmasq ] || missing+=(dnsmasq-base)
{ command -v node && command -v npm; } >/dev/null || missing+=(nodejs npm)
command -v python3 >/dev/null || missing+=(python3)
command -v aws >/dev/null || missing+=(awscli)
command -v etcd >/dev/null || missing+=(etcd-server)
command -v ip >/dev/null || missing+=(iproute2)
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  echo "The tests need: ${missing[*]}. Install them with your package manager (as root on Debian: apt-get install ${missing[*]})." >&2
  exit 1
fi
echo "installing ${missing[*]} for the tests"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
