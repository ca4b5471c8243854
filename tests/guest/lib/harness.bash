# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Boots Debian guests on disks that the example server serves. Sourced by tests/guest/*.sh and tools/demo:
#
#   . tests/guest/lib/harness.bash; harness BUILD-DIR
#   server_start --socket "$work/a" --disk "file:$work/a.raw" --queues 2
#   guest_run "$(disk_args a 2)" <<'SCRIPT' ... SCRIPT
#
# The guest's script may call "host NAME ARG...", which runs host_NAME here and answers with its status.
set -euo pipefail
guest_lib=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
. "$guest_lib/boot.bash"

fail() {
	echo "FAIL: $*" >&2
	exit 1
}

skip() {
	echo "SKIP: $*"
	exit 77
}

note() {
	echo "[$(date +%T)] $*"
}

# harness BUILD-DIR: a directory $work for this test; all that was started ends with it.
harness() {
	harness_begin "$1" vhost-user-blk
	harness_image
}

# The pids of all that must not outlive the test, by what they are.
declare -A child=()

harness_begin() { # BUILD-DIR EXAMPLE...
	local example
	build=$(realpath "${1:?harness: needs the build directory}")
	for example in "${@:2}"; do
		[ -x "$build/examples/$example" ] || skip "$build/examples/$example is not built"
	done
	work=$(mktemp -d "${TMPDIR:-/tmp}/vio-guest.XXXXXX")
	trap harness_end EXIT
	trap 'exit 1' INT TERM
}

harness_image() {
	command -v "${guest_qemu[0]}" >/dev/null || skip "no ${guest_qemu[0]}: run tools/setup guest"
	image=$("$guest_lib/image") || skip "no guest image to boot"
}

harness_end() {
	local status=$?
	[ ${#child[@]} = 0 ] || kill -9 "${child[@]}" 2>/dev/null || true
	wait 2>/dev/null || true
	if [ $status != 0 ] && [ $status != 77 ]; then
		for log in "$work"/*.log; do
			[ -s "$log" ] && echo "--- ${log##*/}" && tail -n 60 "$log"
		done >&2
	fi
	[ -n "${VIO_KEEP-}" ] || rm -rf "$work"
	exit $status
}

# server_start ARG...: returns when it listens at each --socket.
server_start() {
	local socket=
	"$build/examples/vhost-user-blk" "$@" >>"$work/server.log" 2>&1 &
	child[server]=$!
	for argument; do
		[ "$socket" != --socket ] || await_listener server "$argument"
		socket=$argument
	done
}

# await_listener CHILD SOCKET: one left by a killed server is there at once, so look for a listener and not for a file.
await_listener() {
	local tries=0
	until grep -q "^[^ ]* [0-9]* 00000000 00010000 .* $2\$" "/proc/${child[$1]}/net/unix" 2>/dev/null; do
		kill -0 "${child[$1]}" 2>/dev/null || fail "the $1 ended: $(tail -1 "$work/$1.log")"
		[ $((tries += 1)) -lt 600 ] || fail "the $1 does not listen at $2"
		sleep 0.05
	done
}

server_stop() {
	child_stop server
}

server_kill() {
	child_kill server
}

# SIGTERM drains, so nothing but exit status 0 will do.
child_stop() {
	local pid=${child[$1]} status=0
	kill -TERM "$pid"
	wait "$pid" || status=$?
	unset "child[$1]"
	[ $status = 0 ] || fail "the $1 ended with status $status after SIGTERM"
}

child_kill() {
	kill -9 "${child[$1]}"
	wait "${child[$1]}" 2>/dev/null || true
	unset "child[$1]"
}

# disk_args NAME QUEUES [PROPERTY...]: QEMU's arguments for the disk that is served at $work/NAME.
disk_args() {
	local name=$1 queues=$2 properties=
	shift 2
	for property; do properties+=,$property; done
	echo "-chardev socket,id=$name,path=$work/$name,reconnect=1"
	echo "-device vhost-user-blk-pci,chardev=$name,num-queues=$queues$properties"
}

# What guests may ask of any test.
host_note() {
	note "$@"
}
