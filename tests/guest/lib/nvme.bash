# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# An NVMe/TCP target for guests, which reach it at 10.0.2.2. Sourced by tests/guest/nvme_*.sh:
#
#   . tests/guest/lib/harness.bash; . tests/guest/lib/nvme.bash; nvme_harness BUILD-DIR
#   target_start --ns "file:$work/a.raw"; guest_run "${nvme_net[@]}" < <(nvme_script <<'SCRIPT' ... SCRIPT)
nvme_nqn=nqn.2014-08.org.example:disks
nvme_host=nqn.2014-08.org.example:guest
nvme_net=("-netdev user,id=net -device virtio-net-pci,netdev=net")
target_port=0

nvme_harness() { # BUILD-DIR [backports]: whose kernel
	local words
	harness_begin "$1" nvme-target
	harness_image
	if [ $# -gt 1 ]; then
		image=$("$guest_lib/image" "$2") || skip "no kernel of the backports"
		# QEMU 7.2 emulates it wrong: it dies where it allocates memory.
		words=$("$guest_lib/qemu") || skip "no QEMU that runs it"
		read -r -a guest_qemu <<<"$words"
	fi
	[ -s "$image/nvme.cpio" ] || skip "no nvme-cli: run tools/setup guest"
	guest_parts=(fio nvme)
}

# target_start ARG...: returns when it listens; at the port of the one before, if there was one.
target_start() {
	local tries=0 lines
	target_args=("$@")
	touch "$work/target.log"
	lines=$(grep -c 'at 127.0.0.1.*port' "$work/target.log" || true)
	"$build/examples/nvme-target" --listen "127.0.0.1:$target_port" --nqn $nvme_nqn --control "$work/control" "$@" \
		>>"$work/target.log" 2>&1 &
	child[target]=$!
	until [ "$(grep -c 'at 127.0.0.1.*port' "$work/target.log")" -gt "$lines" ]; do
		kill -0 "${child[target]}" 2>/dev/null || fail "the target ended: $(tail -1 "$work/target.log")"
		[ $((tries += 1)) -lt 600 ] || fail "the target does not listen"
		sleep 0.05
	done
	target_port=$(sed -n 's/.*at 127.0.0.1.*port \([0-9]*\)$/\1/p' "$work/target.log" | tail -1)
}

# target_tell LINE: to its control socket; prints what follows ok.
target_tell() {
	local reply
	reply=$(echo "$*" | socat - "UNIX-CONNECT:$work/control")
	case $reply in
	ok*) echo "${reply#ok}" ;;
	*) fail "the target says to '$*': $reply" ;;
	esac
}

# What a guest may ask of it.
host_kill() { # and another is there at once
	child_kill target
	target_start "${target_args[@]}"
}

host_add() { # NAME SIZE
	truncate -s "$2" "$work/$1.raw"
	target_tell "add file:$work/$1.raw" >/dev/null
}

host_grow() { # NAME SIZE ID
	truncate -s "$2" "$work/$1.raw"
	target_tell "resize $3" >/dev/null
}

host_key() { # LINE: of the file of hosts that authenticate
	echo "$*" >>"$work/keys"
	target_tell keys >/dev/null
}

host_remove() { # ID
	target_tell "remove $1" >/dev/null
}

# A pool of encrypted namespaces: options for the target.
nvme_pool=()
pool_make() {
	mkdir -p "$work/pool"
	nvme_pool=(--pool "$work/pool,size=64M" --pool-filters 'crypt:keyfile=%k,erase=on')
}

# What namespace ID's file is by the key in a file, as a sum.
pool_decrypted() { # ID KEYFILE
	rm -f "$work/raw" "$work/plain"
	cp "$work/pool/$1.raw" "$work/raw"
	head -c "$(stat -c %s "$work/raw")" /dev/zero >"$work/plain"
	"$build/examples/copy" --quiet "file:$work/raw | crypt:keyfile=$2" "file:$work/plain" >>"$work/copy.log" 2>&1 || return 1
	sha256sum <"$work/plain" | cut -d' ' -f1
}

host_pool_look() { # ID SUM: that is what it holds
	cp "$work/pool/$1.key" "$work/old.key"
	[ "$(pool_decrypted "$1" "$work/old.key")" = "$2" ]
}

# The file has not changed, but no key that there is opens it.
host_pool_erased() { # ID SUM
	[ "$(pool_decrypted "$1" "$work/old.key")" = "$2" ] || return 1
	cp "$work/pool/$1.key" "$work/new.key"
	! cmp -s "$work/old.key" "$work/new.key" || return 1
	[ "$(pool_decrypted "$1" "$work/new.key")" != "$2" ] || return 1
	[ "$(cd "$work/pool" && echo "$1".*)" = "$1.conf $1.key $1.raw" ]
}

host_pool_empty() {
	! ls "$work/pool/2."* 2>/dev/null
}

# The guest's script on standard input, and what it needs before it.
nvme_script() {
	echo "port=$target_port nqn=$nvme_nqn hostnqn=$nvme_host"
	cat "$guest_lib/nvme.guest" "$guest_lib/nvme_manage.guest"
	[ "$target_port" = 0 ] || echo nvme_net
	cat
}
