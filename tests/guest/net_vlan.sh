#!/bin/bash
# SPDX-License-Identifier: MIT
# A guest on a trunk has a VLAN sub-interface for each VLAN; a guest with a card in each reaches it there and nowhere else.
. "$(dirname "$0")/lib/net.bash"
net_harness "$1"
mkdir "$work/www"
head -c 4000000 /dev/urandom >"$work/www/data"
guest_files=("$work/www")
switch_start --port "vhost-user:$work/trunk,name=trunk,trunk=10+20" --port "vhost-user:$work/ten,name=ten,vlan=10" \
	--port "vhost-user:$work/twenty,name=twenty,vlan=20" --port "vhost-user:$work/thirty,name=thirty,vlan=30"
guest_boot a "$(nic_args trunk)"
guest_boot b "$(nic_args ten) $(nic_args twenty) $(nic_args thirty)"
guests_ready a b

# So that a card answers for its own address alone, and nothing is said unasked.
quiet="sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.rp_filter=0 net.ipv6.conf.all.disable_ipv6=1"
do_in a "$quiet; modprobe 8021q; ip link set eth0 up
	for vlan in 10 20 30; do
		ip link add link eth0 name eth0.\$vlan type vlan id \$vlan
		ip addr add 10.\$vlan.0.1/24 dev eth0.\$vlan
		ip link set eth0.\$vlan up
	done
	socat -U TCP-LISTEN:7002,reuseaddr,fork OPEN:/www/data &"
do_in b "$quiet
	for vlan in 10 20 30; do
		ip link set eth\$((vlan / 10 - 1)) up
		ip addr add 10.\$vlan.0.2/24 dev eth\$((vlan / 10 - 1))
	done
	socat -U TCP-LISTEN:7002,reuseaddr,fork OPEN:/www/data &"

for vlan in 10 20; do
	do_in a "ping -A -q -c 3 -w 10 10.$vlan.0.2 | grep -q ' 0% packet loss'" || fail "no ping over VLAN $vlan"
	do_in a "socat -u -b 65536 -T 10 TCP:10.$vlan.0.2:7002,retry=50,interval=0.1 - | cmp - /www/data"
	do_in b "socat -u -b 65536 -T 10 TCP:10.$vlan.0.1:7002,retry=50,interval=0.1 - | cmp - /www/data"
done

packets() { # CARD
	do_in b "cat /sys/class/net/$1/statistics/rx_packets"
}

# Broadcasts go to their own VLAN's members; the trunk carries no 30.
before=($(packets eth0) $(packets eth1) $(packets eth2))
! in_guest a "arping -q -c 3 -w 3 -I eth0.10 10.20.0.2" || fail "an answer came from VLAN 20 to VLAN 10"
! in_guest a "arping -q -c 2 -w 2 -I eth0.30 10.30.0.2" || fail "an answer came over a VLAN that the trunk has not"
after=($(packets eth0) $(packets eth1) $(packets eth2))
[ $((after[0] - before[0])) -ge 3 ] || fail "VLAN 10 saw $((after[0] - before[0])) of 3 broadcasts of its own"
[ "${after[1]}" = "${before[1]}" ] || fail "VLAN 20 saw a broadcast of VLAN 10 or 30"
[ "${after[2]}" = "${before[2]}" ] || fail "VLAN 30 saw a broadcast of another, or of a trunk that has it not"
! in_guest b "arping -q -c 2 -w 2 -I eth0 10.30.0.2" || fail "VLAN 30 answered VLAN 10"
guest_off a b
switch_stop
