# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Guests with network cards at the example switch, driven from the host: the test is one script, and each guest a shell.
#
#   . tests/guest/lib/net.bash; net_harness BUILD-DIR
#   switch_start --port "vhost-user:$work/a,name=a" --port "vhost-user:$work/b,name=b"
#   guest_boot a "$(nic_args a)"; guest_boot b "$(nic_args b)"; guests_ready a b
#   in_guest a "ping -c 3 10.0.0.2"
. "$(dirname "${BASH_SOURCE[0]}")/harness.bash"

net_harness() { # BUILD-DIR [EXAMPLE...]: those besides the switch
	harness_begin "$1" vswitch "${@:2}"
	harness_image
	[ -s "$image/net.cpio" ] || skip "no ethtool or no socat for the guests: run tools/setup guest"
	guest_parts=(net)
	guest_mb=256
	guest_cpus=1
}

# switch_start ARG...: returns when it listens at all its sockets, but for those where it is the client. In the namespaces of child "namespace", if there is one.
switch_start() {
	local argument socket within=()
	[ -z "${child[namespace]-}" ] || within=("${enter_namespace[@]}")
	switch_args=("$@")
	"${within[@]}" "$build/examples/vswitch" --control "$work/control" "$@" >>"$work/switch.log" 2>&1 &
	child[switch]=$!
	await_listener switch "$work/control"
	for argument; do
		socket=${argument#vhost-user:}
		[ "$socket" = "$argument" ] || [[ $socket == *,client=on* ]] || await_listener switch "${socket%%,*}"
	done
}

# Kills the switch and starts it again; returns when as many guests are there as have been before.
switch_restart() {
	local before tries=0
	before=$(connected)
	child_kill switch
	switch_start "${switch_args[@]}"
	until [ "$(connected)" = "$before" ]; do
		[ $((tries += 1)) -lt 200 ] || fail "$(connected) of $before guests came back to the switch"
		sleep 0.1
	done
}

# 0 while the switch is not there: a killed one's sockets may seem to listen for a moment yet.
connected() {
	"$build/examples/vswitch" ctl --control "$work/control" ports 2>/dev/null | grep -c ' connected ' || true
}

ctl() {
	"$build/examples/vswitch" ctl --control "$work/control" "$@" || fail "the switch refuses: $*"
}

switch_sum() { # COUNTER: of all ports
	ctl --json stats | grep -o "\"$1\": [0-9]*" | awk '{ sum += $2 } END { print sum }'
}

switch_stop() {
	child_stop switch
}

# namespace_start: a network namespace of this test's own, for the switch and its taps.
namespace_start() {
	namespace_try || skip "no network namespace may be made here: $(cat "$work/namespace.log")"
}

# False if none may be made. Root needs no user namespace for it, and in a chroot gets none.
namespace_try() {
	local tries=0 user=() enter=()
	if [ "$(id -u)" != 0 ]; then
		user=(--user --map-root-user) enter=(--user --preserve-credentials)
	fi
	# shellcheck disable=SC2016
	unshare "${user[@]}" --net sh -c 'busybox ip link set lo up; : >"$1"; exec sleep 900' sh "$work/namespace" \
		2>"$work/namespace.log" &
	child[namespace]=$!
	enter_namespace=(nsenter --target "${child[namespace]}" --net "${enter[@]}")
	until [ -e "$work/namespace" ]; do
		if ! kill -0 "${child[namespace]}" 2>/dev/null; then
			unset "child[namespace]"
			return 1
		fi
		[ $((tries += 1)) -lt 600 ] || fail "the namespace does not come"
		sleep 0.05
	done
}

in_namespace() {
	"${enter_namespace[@]}" "$@"
}

# newer_qemu [11]: has guests booted by QEMU 10, or 11, or newer, with MSI-X.
newer_qemu() {
	local words
	words=$("$guest_lib/qemu" "$@") || skip "no QEMU ${1-10} or newer to boot guests with"
	read -r -a guest_qemu <<<"$words"
	nic_vectors=()
}

# QEMU 7.2 crashes when an emulated guest drives such a card with MSI-X; this has it use the old interrupt line.
nic_vectors=(vectors=0)

# nic_args NAME [PROPERTY...]: QEMU's arguments for a card at the port that is served at $work/NAME.
nic_args() {
	local name=$1 pairs=${nic_pairs:-1} properties mac
	shift
	mac=$(md5sum <<<"$name" | sed 's/\(..\)\(..\)\(..\).*/52:54:00:\1:\2:\3/')
	properties=mac=$mac
	for property in "${nic_vectors[@]}" "$@"; do properties+=,$property; done
	echo "-chardev socket,id=$name,path=$work/$name,$nic_socket"
	echo "-netdev vhost-user,id=net$name,chardev=$name,queues=$pairs"
	echo "-device virtio-net-pci,netdev=net$name,mq=$([ "$pairs" = 1 ] && echo off || echo on),romfile=,$properties"
}

# How QEMU gets to the switch; or "server=on", for a port with client=on.
nic_socket=reconnect=1

# QEMU's own network card keeps the control queue to itself; its device for tests lets all queues through.
all_queues_or_skip() {
	[ -n "${VIO_QEMU-}" ] || newer_qemu 11
	"${guest_qemu[@]}" -device vhost-user-test-device-pci,help 2>/dev/null | grep options >/dev/null ||
		skip "this QEMU has no vhost-user-test-device-pci, which came with QEMU 11"
}

# all_queues_args NAME PAIRS: QEMU's arguments for such a card at the port that is served at $work/NAME.
all_queues_args() {
	echo "-chardev socket,id=$1,path=$work/$1"
	echo "-device vhost-user-test-device-pci,chardev=$1,virtio-id=1,num_vqs=$((2 * $2 + 1)),vq_size=256,config_size=24,romfile="
}

# guest_boot NAME [QEMU-ARG...]
guest_boot() {
	guest_start "$@" <"$guest_lib/agent.guest"
}

# Waits until each guest takes commands.
guests_ready() {
	local name
	for name; do
		console_until "$name" 'GUEST-READY*' >/dev/null
	done
}

# console_until NAME PATTERN: prints the console's lines before the one that matches; leaves that in $console_line.
console_until() {
	local name=$1 fd=${guest_out[$1]}
	while IFS= read -r -t "$net_limit" console_line <&"$fd" || guest_silent "$name" $? "$2"; do
		console_line=${console_line%$'\r'}
		printf '%s\n' "$console_line" >>"$work/console-$name.log"
		# shellcheck disable=SC2254
		case $console_line in
		$2) return ;;
		'GUEST-EXIT '*) fail "guest $name ended" ;;
		esac
		printf '%s\n' "$console_line"
	done
}

guest_silent() { # NAME READ-STATUS PATTERN
	local status=0
	[ "$2" -le 128 ] || fail "guest $1 said nothing for $net_limit s, waiting for '$3'"
	wait "${child[$1]}" || status=$?
	fail "the QEMU of guest $1 ended with status $status, waiting for '$3'"
}
net_limit=120

# in_guest NAME COMMAND...: runs a shell command in the guest, prints what it prints, has its status.
in_guest() {
	local name=$1
	shift
	echo "# $*" >>"$work/console-$name.log"
	base64 -w0 <<<"$*" >&"${guest_in[$name]}"
	echo >&"${guest_in[$name]}"
	console_until "$name" 'GUEST-DID *' >"$work/answer"
	grep -v '^$' "$work/answer" || true
	return "${console_line#GUEST-DID }"
}

# The same, and it must succeed.
do_in() {
	in_guest "$@" || fail "guest $1: $2 (status ${console_line#GUEST-DID })"
}

guest_off() {
	local name
	for name; do
		child_kill "$name"
	done
}
