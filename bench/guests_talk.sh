#!/bin/bash
# SPDX-License-Identifier: MIT
# guests_talk.sh BUILD-DIR SECONDS: boots two guests, each with a card at our switch and one at a tap of a Linux bridge.
# For each line on standard input, "ours" or "peer", a sends b TCP that way for so long. Prints the CPU seconds of all
# that is no vCPU, and the bits that came. The bridge runs in the threads that write to its taps.
. "$(dirname "$0")/../tests/guest/lib/net.bash"

qemu-system-x86_64() {
	exec "${enter_namespace[@]}" qemu-system-x86_64 "$@"
}

bridge_up() {
	in_namespace ip link add br0 type bridge
	in_namespace ip link set br0 up
	for name in a b; do
		in_namespace ip tuntap add "tap$name" mode tap vnet_hdr
		in_namespace ip link set "tap$name" master br0 up
	done
}

both_cards() { # NAME
	local offloads=csum=on,guest_csum=on,host_tso4=on,guest_tso4=on
	nic_args "$1" $offloads
	echo "-netdev tap,id=host$1,ifname=tap$1,script=no,downscript=no"
	echo "-device virtio-net-pci,netdev=host$1,vectors=0,romfile=,mac=52:54:00:00:01:0$2,$offloads"
	echo "-name $1,debug-threads=on"
}

guest_up() { # NAME NUMBER
	local card
	for card in 0 1; do
		do_in "$1" "ip link set eth$card up; ip addr add 10.0.$card.$2/24 dev eth$card"
	done
}

# Nanoseconds that the threads of these processes have run which are no vCPU's.
ran() {
	local task total=0 took
	for task in $(printf '/proc/%s/task/* ' "$@"); do
		case $(cat "$task/comm") in
		'CPU '*) ;;
		*) read -r took _ <"$task/schedstat" && total=$((total + took)) ;;
		esac
	done
	echo $total
}

came() { # CARD
	do_in b "sed -n 's/^ *eth$1: *//p' /proc/net/dev | cut -d' ' -f1"
}

talk() { # CARD PID...
	local card=$1 before came
	shift
	came=$(came "$card")
	before=$(ran "$@")
	in_guest a "timeout $seconds socat -u -b 65536 OPEN:/dev/zero TCP:10.0.$card.2:7003" >/dev/null || true
	printf '{"cpu": %d, "bytes": %d}\n' $(($(ran "$@") - before)) $(($(came "$card") - came))
}

net_harness "$1"
seconds=$2
namespace_start
bridge_up
switch_start --port "vhost-user:$work/a,name=a" --port "vhost-user:$work/b,name=b"
guest_boot a "$(both_cards a 1)"
guest_boot b "$(both_cards b 2)"
guests_ready a b
guest_up a 1
guest_up b 2
do_in b "socat -u TCP-LISTEN:7003,reuseaddr,fork OPEN:/dev/null >/dev/null 2>&1 &"
echo ready
while read -r kind; do
	case $kind in
	ours) talk 0 "${child[a]}" "${child[b]}" "${child[switch]}" ;;
	peer) talk 1 "${child[a]}" "${child[b]}" ;;
	esac
done
guest_off a b
switch_stop
