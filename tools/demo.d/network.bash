# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The demo's network: both guests and the host at the switch, and each fetches from each. Sourced by tools/demo.

# The host is at the switch by a tap in a network namespace of the demo's own, so that nothing of the machine's network
# is touched; where none may be made, the guests have the switch to themselves.
network_serve() {
	local host=()
	ends=(a b)
	if [ ! -w /dev/net/tun ]; then
		say "the host stays off the network: /dev/net/tun is not there or not for this user"
	elif namespace_try; then
		ends+=(host) host=(--port "tap:vio0,name=host") end_interface[host]=vio0
	else
		say "the host stays off the network: no network namespace may be made here ($(tail -1 "$work/namespace.log"))"
	fi
	switch_start --port "vhost-user:$work/a,name=a,pairs=2" --port "vhost-user:$work/b,name=b" "${host[@]}"
}

# What each end gives away: a the files on its encrypted disk, the others random bytes.
network_offer() {
	local end
	mkdir "$work/www"
	do_in a "mkdir /www; tar -cf /www/data -C /mnt files"
	do_in b "mkdir /www; head -c 33554432 /dev/urandom >/www/data"
	head -c 33554432 /dev/urandom >"$work/www/data"
	for end in "${ends[@]}"; do
		end_up "$end"
		sum[$end]=$(end_do "$end" "sha256sum <\$www/data")
	done
	early=$(switch_sum dropped)
}
declare -A sum=()

use_network() {
	local from by
	result[card_a]=$(do_in a "cat /sys/class/net/eth0/device/features")
	result[card_b]=$(do_in b "cat /sys/class/net/eth0/device/features")
	network_offer
	say "on the network: ${ends[*]}; each fetches from each of the others"
	for from in "${ends[@]}"; do
		for by in "${ends[@]}"; do
			[ "$from" = "$by" ] || fetch_measured "$from" "$by"
		done
	done
	do_in b "tar -xf /tmp/from-a -C /tmp; check_tree /tmp/files"
	say "guest b: unpacked the files of guest a's disk: all are as they were"
	expect_no_complaints a b
	late=$(($(switch_sum dropped) - early))
	result[packets]=$(ctl stats)
	do_in a "umount /mnt"
}

# fetch_measured FROM BY: by TCP; the checksum is taken after the time.
fetch_measured() {
	local got start end bytes
	got=$(end_do "$2" "
		now() { cut -d' ' -f1 /proc/uptime; }
		start=\$(now)
		socat -u -b 65536 -T 10 TCP:$(end_address "$1"):7002,retry=50,interval=0.1 CREATE:\$tmp/from-$1
		echo \$start \$(now) \$(wc -c <\$tmp/from-$1)
		sha256sum <\$tmp/from-$1")
	[ "${got#*$'\n'}" = "${sum[$1]}" ] || fail "what $2 fetched from $1 is not what $1 has"
	read -r start end bytes <<<"${got%%$'\n'*}"
	result[$1-$2]=$(awk "BEGIN { print $bytes / 1048576, $bytes / 1e6 / ($end - $start + 0.005) }")
}
