#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest's kernel says which flows come into which of its queues, by ethtool's table and key, and that is where they land.
. "$(dirname "$0")/lib/net.bash"
. "$guest_lib/talk.bash"
net_harness "$1"
all_queues_or_skip
command -v python3 >/dev/null || skip "no python3, which chooses the flows"
pairs=4

# What each receive queue has had.
received_by_queue() {
	do_in a "ethtool -S eth0 | sed -n 's/^ *rx_queue_[0-9]*_packets: //p'"
}

# flows_land [HASHED]: some of each queue, as the guest's table has it now, come into that queue and no other. What else
# comes meanwhile, by itself, is little.
flows_land() {
	local queue others before after sent landed=
	do_in a "ethtool -x eth0" >"$work/table"
	for queue in $(seq 0 $((pairs - 1))); do
		mapfile -t before < <(received_by_queue)
		sent=$(in_namespace "$guest_lib/flows.py" "$work/table" "$(end_address host)" "$(end_address a)" "$queue" 40 "${1-ports}")
		landed+=" $sent"
		[ "$sent" != 0 ] || continue
		do_in a "come() { [ \$(ethtool -S eth0 | sed -n 's/^ *rx_queue_${queue}_packets: //p') -ge $((before[queue] + sent)) ]; }
			wait_for 10 '$sent datagrams in queue $queue' come"
		mapfile -t after < <(received_by_queue)
		others=0
		for other in "${!after[@]}"; do
			[ "$other" = "$queue" ] || others=$((others + after[other] - before[other]))
		done
		[ "$others" -le 5 ] || fail "of queue $queue's $sent flows $others came into others"
	done
	note "flows to queues:$landed"
	[ -n "${landed//[ 0]/}" ] || fail "no flow leads anywhere"
}

talk_begin
namespace_start
end_interface[host]=vio0
switch_start --threads 2 --port "vhost-user:$work/a,name=a,pairs=$pairs" --port "tap:vio0,name=host"
guest_cpus=2
guest_boot a "$(all_queues_args a $pairs)"
guests_ready a
in_guest a "ethtool -S eth0 | grep -q rx_queue_0_packets" ||
	skip "ethtool of the guest's kernel $(do_in a "uname -r") does not count by queues: VIO_KERNEL may name 6.1"
do_in a "has_net_feature eth0 57 && has_net_feature eth0 60 || fail 'hash reports and RSS were not negotiated'
	ethtool -L eth0 combined $pairs; ethtool -K eth0 rxhash on"
end_up host
end_up a
pings host a 56

do_in a "ethtool -X eth0 equal $pairs"
flows_land
do_in a "ethtool -X eth0 weight 1 0 3 4"
flows_land
do_in a "ethtool -X eth0 weight 0 0 0 1"
flows_land
fetch host a
fetch a host
key=6d:5a:56:da:25:5b:0e:c2:41:67:25:3d:43:a3:8f:b0:d0:ca:2b:cb:ae:7b:30:b4:77:cb:2d:a3:80:30:f2:0c:6a:42:b7:3b:be:ac:01:fa
do_in a "ethtool -X eth0 hkey $key equal $pairs; ethtool -x eth0 | grep -q $key"
flows_land
do_in a "ethtool -N eth0 rx-flow-hash udp4 sd"
flows_land addresses
do_in a "ethtool -N eth0 rx-flow-hash udp4 sdfn"
flows_land
do_in a "ethtool -K eth0 rxhash off"
flows_land nothing
do_in a "ethtool -K eth0 rxhash on"
flows_land

# So many pairs, and the switch chooses; then a table again.
do_in a "ethtool -X eth0 default; ethtool -L eth0 combined 2"
talk a host
do_in a "ethtool -L eth0 combined $pairs; ethtool -X eth0 weight 2 1 1 4"
flows_land
talk a host
expect_no_complaints a
guest_off a
switch_stop
