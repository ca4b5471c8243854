# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What two ends say to each other to prove the path between them. An end is a guest, or "host": the test's own
# network namespace. Sourced after net.bash.

# The last byte of an end's addresses, and the one before, for ends that have several networks.
declare -A end_number=([a]=1 [b]=2 [host]=9)
declare -A end_interface=([a]=eth0 [b]=eth0)
end_network=0

# Files for all ends; before guests boot.
talk_begin() {
	mkdir "$work/www"
	head -c "$talk_bytes" /dev/urandom >"$work/www/data"
	head -c 99546 /dev/urandom >"$work/www/datagrams"
	guest_files+=("$work/www")
}
talk_bytes=8000000

# end_do END COMMAND: a command of busybox's, with $www and $tmp. It must succeed.
end_do() {
	case $1 in
	host) in_namespace busybox sh -c ". $guest_lib/guest.sh; www=$work/www tmp=$work; $2" || fail "host: $2" ;;
	*) do_in "$1" "$2" ;;
	esac
}

# end_up END: gives it addresses, and serves its files.
end_up() {
	end_join "$1"
	case $1 in
	host)
		"${enter_namespace[@]}" socat -U "$serving" OPEN:"$work/www/data" &
		child[file_server]=$!
		;;
	*) end_do "$1" "socat -U $serving OPEN:/www/data &" ;;
	esac
}
serving=TCP6-LISTEN:7002,reuseaddr,fork

# end_join END: the addresses only. Without duplicate detection IPv6 is of use at once.
end_join() {
	local interface=${end_interface[$1]}
	end_do "$1" "
		echo 0 >/proc/sys/net/ipv6/conf/$interface/accept_dad
		ip link set $interface up
		ip addr add $(end_address "$1")/24 dev $interface
		ip -6 addr add $(end_address "$1" v6)/64 dev $interface"
}

end_address() { # END [v6]
	if [ "${2-}" = v6 ]; then
		echo "fd00:$end_network::${end_number[$1]}"
	else
		echo "10.0.$end_network.${end_number[$1]}"
	fi
}

# pings FROM TO BYTES [v6]: all of them must come back. (A slow machine may end busybox's ping with a sixth under way.)
pings() {
	local program=ping
	[ "${4-}" != v6 ] || program=ping6
	end_do "$1" "$program -A -q -c 5 -w 30 -s $3 $(end_address "$2" "${4-}") >\$tmp/pings || { cat \$tmp/pings; exit 1; }
		grep -q ' [5-9] packets received' \$tmp/pings || { cat \$tmp/pings; exit 1; }"
}

# fetch FROM BY [v6]: by TCP, each byte compared.
fetch() {
	local address
	address=$(end_address "$1" "${3-}")
	[ "${3-}" != v6 ] || address="[$address]"
	end_do "$2" "socat -u -b 65536 -T 10 TCP:$address:7002,retry=50,interval=0.1 - | cmp - \$www/data"
}

# fetch_framed FROM BY LEAST MOST: the same, and how many bytes the frames had that came, on average.
fetch_framed() {
	local bytes frames mean
	read -r bytes frames <<<"$(received "$2")"
	fetch "$1" "$2"
	mean=$(received "$2" | awk "{ print int((\$1 - $bytes) / (\$2 - $frames)) }")
	note "$1 -> $2: frames of $mean bytes on average"
	[ "$mean" -ge "$3" ] && [ "$mean" -le "$4" ] || fail "$1 -> $2: frames of $mean bytes, expected $3 to $4"
}

# /proc and not /sys, which shows the namespace that it was mounted in.
received() { # END: bytes and frames
	end_do "$1" "sed -n 's/^ *${end_interface[$1]}: *//p' /proc/net/dev | awk '{ print \$1, \$2 }'"
}

# datagrams FROM TO: by UDP, of 1,473 to 60,000 bytes, each of which IP has to cut.
datagrams() {
	end_do "$2" "rm -f \$tmp/got; socat -u -b 65507 UDP-RECV:7001 CREATE:\$tmp/got & echo \$! >\$tmp/socat.pid
		wait_for 10 'a UDP socket' grep -q :1B59 /proc/net/udp"
	end_do "$1" "skip=0
		for length in 1473 8073 30000 60000; do
			tail -c +\$((skip + 1)) \$www/datagrams | head -c \$length >\$tmp/datagram
			socat -u -b 65507 OPEN:\$tmp/datagram UDP-SENDTO:$(end_address "$2"):7001
			skip=\$((skip + length))
		done"
	end_do "$2" "wait_for 10 'all datagrams' cmp -s \$tmp/got \$www/datagrams; kill \$(cat \$tmp/socat.pid)"
}

# What fetch_framed may find: whole, what a sender's TCP puts into one comes uncut, which on a slow machine is two
# segments, and up to 64 KiB on others; cut, none is longer than the wire has them.
whole=(2000 65600)
cut=(1000 1514)

# talk END END: all of this both ways.
talk() {
	local from to
	for from in "$1" "$2"; do
		[ "$from" = "$1" ] && to=$2 || to=$1
		pings "$from" "$to" 56
		pings "$from" "$to" 6000
		pings "$from" "$to" 56 v6
		fetch "$from" "$to" v6
		datagrams "$from" "$to"
	done
	note "$1 and $2: pings, IPv6, UDP fragments: ok"
}

# mtu END BYTES
mtu() {
	end_do "$1" "ip link set ${end_interface[$1]} mtu $2"
}

# Warnings of a kernel that was given frames whose header and content disagree, or buffers that it did not post.
expect_no_complaints() {
	local end
	for end; do
		end_do "$end" "! dmesg | grep -E 'bad gso|hw csum failure|is not a head|BUG:|Oops|NETDEV WATCHDOG|transmit queue .* timed out'"
	done
}
