#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest's kernel asks for few interrupts, and gets few; nothing that it waits for is lost.
. "$(dirname "$0")/lib/net.bash"
. "$guest_lib/talk.bash"
net_harness "$1"
all_queues_or_skip
[ -n "${VIO_KERNEL-}" ] || image=$("$guest_lib/image" backports) || skip "no kernel that knows coalescing by queues"

# How many the guest's receive queue has had, or the whole card, where QEMU gives it no vectors.
interrupts() {
	do_in a "awk '/ virtio0(-input.0)?\$/ { print \$2 }' /proc/interrupts"
}

# interrupts_for COUNT [SETTING...]: sends the guest so many datagrams, one after another, and leaves in $taken how many
# interrupts they took. Then no limit is left, and all must have come.
interrupts_for() {
	local count=$1
	shift
	do_in a "rm -f /tmp/got; socat -u UDP-RECV:7003 CREATE:/tmp/got & echo \$! >/tmp/socat.pid
		wait_for 10 'a UDP socket' grep -q :1B5B /proc/net/udp"
	[ $# = 0 ] || do_in a "ethtool $*"
	taken=$(interrupts)
	for _ in $(seq "$count"); do
		in_namespace socat -u STDIN UDP-SENDTO:10.0.0.1:7003 <<<datagram
	done
	[ $# = 0 ] || do_in a "ethtool -C eth0 rx-frames 0 rx-usecs 0"
	do_in a "all() { [ \$(wc -l </tmp/got) = $count ]; }; wait_for 10 'all datagrams' all; kill \$(cat /tmp/socat.pid)"
	taken=$(($(interrupts) - taken))
	note "$taken interrupts for $count datagrams: ${*:-as it was}"
}
never=2000000000 # microseconds

talk_begin
namespace_start
end_interface[host]=vio0
switch_start --port "vhost-user:$work/a,name=a" --port "tap:vio0,name=host"
guest_boot a "$(all_queues_args a 1)"
guests_ready a
if ! in_guest a "has_net_feature eth0 52 && has_net_feature eth0 53"; then
	version=$(do_in a "uname -r")
	[ "$(printf '6.6\n%s\n' "$version" | sort -V | head -1)" != 6.6 ] || fail "coalescing was not negotiated"
	skip "the guest's kernel $version knows no coalescing by queues: VIO_KERNEL may name a package from 6.6 on"
fi
end_up host
end_up a
pings host a 56

interrupts_for 40
[ "$taken" -ge 20 ] || fail "there is nothing to coalesce: $taken interrupts for 40 datagrams"
interrupts_for 40 -C eth0 rx-frames 20 rx-usecs $never
[ "$taken" -le 8 ] || fail "$taken interrupts for 40 datagrams, expected 3"
interrupts_for 40 -Q eth0 queue_mask 1 --coalesce rx-frames 20 rx-usecs $never
[ "$taken" -le 8 ] || fail "$taken interrupts for 40 datagrams, expected 3"

# What comes alone comes when its time is over.
do_in a "ethtool -C eth0 rx-frames 10000 rx-usecs 20000 tx-frames 10000 tx-usecs 20000"
pings host a 56
pings a host 6000
fetch host a
fetch a host
expect_no_complaints a
guest_off a
switch_stop
