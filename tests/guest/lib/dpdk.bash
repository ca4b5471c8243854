# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# DPDK's virtio driver as both guests at the switch, in one testpmd: no guest boots. Sourced after net.bash.

dpdk_harness() {
	harness_begin "$1" vswitch
	command -v dpdk-testpmd >/dev/null || skip "no dpdk-testpmd: run tools/setup dpdk"
	grep -q avx2 /proc/cpuinfo || skip "DPDK's vectorised rings need AVX2"
	[ "$(nproc)" -ge 2 ] || skip "testpmd needs two CPUs"
}

# What testpmd is told, until enough packets have passed. The second round receives what the first left in the rings.
dpdk_commands() {
	local tries=0
	printf '%s\n' "${dpdk_traffic[@]}"
	until [ "$(switch_sum delivered)" -ge "$dpdk_packets" ] || [ $((tries += 1)) -gt 100 ]; do
		sleep 0.1
	done
	echo stop
	echo "set fwd rxonly"
	echo start
	sleep 0.3
	echo stop
	echo "show port stats all"
	echo quit
}
dpdk_packets=20000
dpdk_traffic=("set fwd flowgen" start)

dpdk_run() { # OPTIONS
	dpdk_commands | dpdk_testpmd 30 "$1" >"$work/testpmd.log" 2>&1
}

dpdk_testpmd() { # SECONDS OPTIONS: does what standard input tells it
	local ports=() name cpus
	for name in a b; do
		ports+=(--vdev "net_virtio_user$((${#ports[@]} / 2)),path=$work/$name,mac=52:54:00:00:00:0$name,$2")
	done
	cpus=$(taskset -cp $$ | sed 's/.*: //')
	timeout "$1" stdbuf -oL dpdk-testpmd --no-huge -m 256 --no-pci --no-telemetry --file-prefix "vio$$" \
		--log-level=pmd.net.virtio.init:info --lcores "0@($cpus),1@($cpus)" --force-max-simd-bitwidth=512 "${ports[@]}" \
		-- -i --total-num-mbufs=8192 --nb-cores=1 --no-flush-rx
}

# Sums testpmd's counter of both ports, from its last table.
dpdk_sum() {
	awk -v name="$1-packets:" '/NIC statistics/ { table = 1 } table { for (i = 1; i < NF; i++) if ($i == name) sum += $(i + 1) }
		END { print sum + 0 }' "$work/testpmd.log"
}

# dpdk_path "OPTIONS" "RECEIVE PATH" "TRANSMIT PATH": DPDK takes those paths, and all packets are accounted for.
dpdk_path() {
	local sent received dropped
	switch_start --port "vhost-user:$work/a,name=a" --port "vhost-user:$work/b,name=b"
	dpdk_run "$1" || fail "testpmd failed with $1"
	grep -q "using $2 Rx path on port 0" "$work/testpmd.log" || fail "DPDK did not receive by its $2 path"
	grep -q "using $3 Tx path on port 0" "$work/testpmd.log" || fail "DPDK did not send by its $3 path"
	sent=$(dpdk_sum TX) received=$(dpdk_sum RX) dropped=$(switch_sum dropped)
	note "$2: $sent packets sent, $received received, $dropped dropped by the switch"
	[ "$received" -ge $dpdk_packets ] || fail "only $received packets came through"
	[ "$(switch_sum sent)" = "$sent" ] || fail "the switch took $(switch_sum sent) of $sent packets"
	[ "$(switch_sum delivered)" = "$received" ] || fail "the switch says that it delivered $(switch_sum delivered) packets"
	[ $((received + dropped)) = "$sent" ] || fail "$((sent - received - dropped)) packets are not accounted for"
	switch_stop
}
