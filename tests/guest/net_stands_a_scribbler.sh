#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest scribbles over its rings and buffers, is stopped and comes again, all the while two others transfer: they lose
# nothing but what they have no buffer for themselves, and are not told of frames that make their kernels complain.
. "$(dirname "$0")/lib/net.bash"
. "$guest_lib/talk.bash"
net_harness "$1"
talk_begin
# The limits are what it can cost the others, and pinned addresses are what it cannot take from them.
switch_start --threads 2 --port "vhost-user:$work/a,name=a" --port "vhost-user:$work/b,name=b" \
	--port "vhost-user:$work/evil,name=evil,packets=5K/500,storm=200/50"
guest_boot a "$(nic_args a)"
guest_boot b "$(nic_args b packed=on mrg_rxbuf=off)"
guests_ready a b
for guest in a b; do
	end_up $guest
	ctl address add "$(do_in $guest "cat /sys/class/net/eth0/address")" 1 $guest
done
pings a b 56

scribbled() { # LIVES
	grep -q "^lives: $1\$" "$work/evil.log"
}

python3 "$guest_lib/../../python/scribbler.py" "$build" "$work/evil" 1 >"$work/evil.log" 2>&1 &
child[evil]=$!

# What the healthy ones sent and lost, or were sent in vain, for any other reason than their own full rings.
lost() {
	ctl --json stats | sed -n 's/.*"port": "[ab]",.*"dropped": \([0-9]*\),.*"no-buffer": \([0-9]*\),.*/\1 \2/p' |
		awk '{ sum += $1 - $2 } END { print sum }'
}

before=$(lost) rounds=0
until [ $rounds -gt 0 ] && scribbled 50; do
	kill -0 "${child[evil]}" || fail "the scribbler gave up: $(tail -1 "$work/evil.log")"
	[ $((rounds += 1)) -le 20 ] || fail "the scribbler comes to nothing: $(tail -1 "$work/evil.log")"
	talk a b
	fetch a b
	fetch b a
done
[ "$(lost)" = "$before" ] || fail "the healthy guests lost $(($(lost) - before)) packets: $(ctl stats)"
broken=$(grep -c 'queue [0-9]* stopped (' "$work/switch.log")
[ "$broken" -ge 20 ] || fail "only $broken queues were stopped: the scribbler is tame"
note "$rounds rounds, $(tail -1 "$work/evil.log"), $broken broken queues, $(lost) packets lost"
[ "$(ctl ports | grep -c '^[ab] *connected')" = 2 ] || fail "a healthy guest lost its connection: $(ctl ports)"
child_kill evil
expect_no_complaints a b
guest_off a b
switch_stop
