# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Two targets, processes of their own, that serve one subsystem and one file to a guest, which sees them at 10.0.2.2. Sourced
# by tests/guest/nvme_tcp*.sh after nvme.bash.
declare -A path_port=()

# paths_begin IMAGE: where the target was that ran until now, and beside it.
paths_begin() {
	path_image=$1
	child_stop target
	path_port=([1]=$target_port [2]=$(python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'))
	host_path_starts 1
	host_path_starts 2
}

paths_end() {
	child_stop path1
	child_stop path2
}

# What a guest may ask of them.
host_paths() {
	paths_begin "$work/a.raw"
}


host_path_starts() { # PATH
	local n=$1 other=$((3 - $1)) lines tries=0
	touch "$work/path$n.log"
	lines=$(grep -c 'at 127.0.0.1.*port' "$work/path$n.log" || true)
	"$build/examples/nvme-target" --nqn $nvme_nqn --ns "file:$path_image,lock=off" --control "$work/control$n" \
		--listen "127.0.0.1:${path_port[$n]},port=$n,as=10.0.2.2:${path_port[$n]}" \
		--refer "10.0.2.2:${path_port[$other]},port=$other" --controllers "${n}000-${n}999" --threads 2 --stats \
		>>"$work/path$n.log" 2>&1 &
	child[path$n]=$!
	until [ "$(grep -c 'at 127.0.0.1.*port' "$work/path$n.log")" -gt "$lines" ]; do
		kill -0 "${child[path$n]}" 2>/dev/null || fail "path $n ended: $(tail -1 "$work/path$n.log")"
		[ $((tries += 1)) -lt 600 ] || fail "path $n does not listen"
		sleep 0.05
	done
}

host_path_is_killed() { # PATH
	child_kill "path$1"
}

host_path_state() { # PATH STATE
	local reply
	reply=$(echo "ana 1 $2 $1" | socat - "UNIX-CONNECT:$work/control$1")
	[ "$reply" = ok ] || fail "path $1 says to '$2': $reply"
	reply=$(echo show | socat - "UNIX-CONNECT:$work/control$1")
	[ "$reply" = "ok group 1 port $1 $2" ] || fail "path $1 shows '$reply' after '$2'"
}
