# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# nvme_tcp_life: Linux as host of our NVMe/TCP target: finds it, connects with and without digests, reads, writes and
# verifies, sees namespaces come, grow and go, resets the controller and loses the target in the midst of I/O. Then two
# targets serve it, each by a path. With "auth" the guest authenticates too, which kernels of Debian 12 can't.
nvme_tcp_life() { # [auth]
	local parts=("$guest_lib/nvme_tcp.guest")
	if [ "${1-}" = auth ] && grep -q '^VIO_CRYPTO:BOOL=ON' "$build/CMakeCache.txt"; then
		parts+=("$guest_lib/nvme_tcp_auth.guest")
	fi
	(umask 077 && echo "# HOSTNQN SECRET [CTRL-SECRET]" >"$work/keys")
	truncate -s 128M "$work/a.raw"
	pool_make
	target_start --ns "file:$work/a.raw" --threads 2 --allow $nvme_host --allow ${nvme_host}2 --reservations "$work" --stats \
		--dhchap-keyfile "$work/keys" "${nvme_pool[@]}"
	guest_run "${nvme_net[@]}" < <(cat "${parts[@]}" "$guest_lib/nvme_paths.guest" | nvme_script) || fail "the guest's script failed"
	paths_end
	grep -q '^  connections: 0, ' "$work/path1.log" || fail "connections are left: $(tail -5 "$work/path1.log")"
	grep -q '^  connections: 0, ' "$work/target.log" || fail "connections are left: $(tail -5 "$work/target.log")"
}
