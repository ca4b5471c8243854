# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# nvme_tcp_life: Linux as host of our NVMe/TCP target: finds it, connects with and without digests, reads, writes and
# verifies, sees namespaces come, grow and go, resets the controller and loses the target in the midst of I/O.
nvme_tcp_life() {
	truncate -s 128M "$work/a.raw"
	target_start --ns "file:$work/a.raw" --threads 2 --allow $nvme_host --stats
	guest_run "${nvme_net[@]}" < <(nvme_script <"$guest_lib/nvme_tcp.guest") || fail "the guest's script failed"
	child_stop target
	grep -q '^  connections: 0, ' "$work/target.log" || fail "connections are left: $(tail -5 "$work/target.log")"
}
