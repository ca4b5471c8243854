# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The switch is killed while DPDK's virtio driver, as both guests, sends and receives. DPDK listens, and the switch connects
# to it again. What the guests' rings hold is compared before and after. Sourced after dpdk.bash.

dpdk_start() { # OPTIONS
	mkfifo "$work/to-testpmd"
	dpdk_testpmd 500 "server=1,$1" <"$work/to-testpmd" >"$work/testpmd.log" 2>&1 &
	child[testpmd]=$!
	exec {testpmd}>"$work/to-testpmd"
	rm "$work/to-testpmd"
	testpmd_told=0
	testpmd_do # it has come so far
}

dpdk_end() {
	echo quit >&"$testpmd"
	exec {testpmd}>&-
	wait "${child[testpmd]}" || fail "testpmd ended with status $?"
	unset "child[testpmd]"
}

# testpmd hangs now and then when its server has just died; with no server there it is not ours to mend.
in_vain=fail

await() { # WHAT COMMAND...
	local what=$1 tries=0
	shift
	until "$@"; do
		kill -0 "${child[testpmd]}" 2>/dev/null || fail "testpmd ended, waiting for $what"
		[ $((tries += 1)) -lt 1200 ] || "$in_vain" "waited in vain for $what"
		sleep 0.05
	done
}

# The switch comes back, and DPDK has told it all.
switch_back() {
	welcomed=$(grep -c "$dpdk_welcome" "$work/testpmd.log" || true)
	switch_start "${switch_args[@]}"
	await "both guests" welcomed_again
}
dpdk_welcome='server mode virtio-user reconnection succeeds'

welcomed_again() {
	[ "$(grep -c "$dpdk_welcome" "$work/testpmd.log")" -ge $((welcomed + 2)) ]
}

# testpmd_do COMMAND...: returns when it has done all of them.
testpmd_do() {
	printf '%s\n' "$@" "show port summary all" >&"$testpmd"
	testpmd_told=$((testpmd_told + 1))
	await "testpmd to do: $*" testpmd_answered
}

testpmd_answered() {
	[ "$(grep -c '^Number of available ports' "$work/testpmd.log")" -ge $testpmd_told ]
}

# Packets that came to the guests from the switch as it runs now.
delivered() { # PORT
	ctl --json stats | sed -n 's/.*"port": "'"$1"'",.*"delivered": \([0-9]*\),.*/\1/p'
}

packets_pass() {
	[ "$(delivered a)" -gt 2000 ] && [ "$(delivered b)" -gt 2000 ]
}

probe() { # COUNT: sends broadcasts from a third port
	python3 "$guest_lib/../../python/flooder.py" "$build" "$work/probe" "$1"
}

# Rings keep their order: what comes last has been received when all has.
probes_came() { # COUNT
	[ "$(grep -c 'src=52:54:00:00:00:0F' "$work/testpmd.log")" -ge $((probed + 2)) ]
}

empty_rings() {
	testpmd_do stop "set verbose 1" "set fwd rxonly" start
	probed=$(grep -c 'src=52:54:00:00:00:0F' "$work/testpmd.log" || true)
	probe 1
	await "a broadcast" probes_came
	testpmd_do stop "set verbose 0"
}

# How many packets each guest has buffers for: it does not look, and more come. Adds to $rooms.
receive_rooms() {
	local a b
	empty_rings
	a=$(delivered a) b=$(delivered b)
	probe 600
	rooms+="receives $(($(delivered a) - a)) $(($(delivered b) - b)) "
	empty_rings
}

# How many packets testpmd has sent by each port, as it said last.
sent_packets() {
	sed -n 's/^ *TX-packets: *\([0-9]*\) *TX-errors.*/\1/p' "$work/testpmd.log" | tail -2 | xargs
}

# How many each may send when nobody takes them. Adds to $rooms.
send_rooms() {
	local before=none now=
	child_kill switch
	in_vain=skip
	testpmd_do "clear port stats all" "set fwd txonly"
	until [ "$now" = "$before" ]; do
		before=$now
		testpmd_do start stop "show port stats all"
		now=$(sent_packets)
	done
	rooms+="sends $now "
	in_vain=fail
	switch_back
}

# dpdk_restarts TIMES OPTIONS: DPDK uses its rings so.
dpdk_restarts() {
	local times=$1 first i
	switch_start --port "vhost-user:$work/a,name=a,client=on" --port "vhost-user:$work/b,name=b,client=on" \
		--port "vhost-user:$work/probe,name=probe"
	dpdk_start "$2"
	rooms=
	send_rooms
	receive_rooms
	first=$rooms rooms=
	testpmd_do "set fwd flowgen" start
	for i in $(seq "$times"); do
		await "packets after $((i - 1)) kills" packets_pass
		child_kill switch
		switch_back
	done
	await "packets after $times kills" packets_pass
	testpmd_do stop
	send_rooms
	receive_rooms
	note "$2, killed $times times: $rooms"
	[[ " $rooms" != *' 0 '* ]] || fail "with $2 a ring has no room"
	[ "$rooms" = "$first" ] || fail "with $2 the rings have not the room that they had at first: $first"
	dpdk_end
	switch_stop
}
