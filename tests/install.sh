#!/bin/sh
# SPDX-License-Identifier: MIT
# What cmake --install puts down is enough for a stranger's program, shared and static.
set -eu
build=$1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
if grep -q '^CMAKE_C_FLAGS:[A-Z]*=.*-fsanitize' "$build/CMakeCache.txt"; then
	echo "a sanitized library is not for installing"
	exit 77
fi
cmake --install "$build" --prefix "$tmp/usr" >/dev/null
pc=$(find "$tmp/usr" -name libvirtio-offload.pc)
lib=$(dirname "$(dirname "$pc")")
# The file names the configured prefix; --prefix moved everything.
sed -i "s|^prefix=.*|prefix=$tmp/usr|; s|^libdir=.*|libdir=$lib|; s|^includedir=.*|includedir=$tmp/usr/include|" "$pc"
export PKG_CONFIG_PATH="$lib/pkgconfig"

expect() { # expect WHAT COMMAND...
	what=$1
	shift
	"$@" || { echo "failed: $what"; exit 1; }
}
readelf -d "$lib/libvirtio-offload.so" >"$tmp/dynamic"
expect "soname libvirtio-offload.so.0" grep -q 'soname: \[libvirtio-offload.so.0\]' "$tmp/dynamic"
expect "no executable stack" sh -c "! readelf -lW '$lib/libvirtio-offload.so' | grep -q 'GNU_STACK.*RWE'"
expect "a manual page" test -s "$tmp/usr/share/man/man7/virtio-offload.7"

for program in virtio-offload-blk virtio-offload-switch virtio-offload-nvme-target virtio-offload-copy; do
	expect "$program runs" sh -c "LD_LIBRARY_PATH='$lib' '$tmp/usr/bin/$program' --help | grep -q '^usage: '"
	expect "$program has no path of the build tree" sh -c "! readelf -d '$tmp/usr/bin/$program' | grep -qE 'RPATH|RUNPATH'"
done

pkg-config --libs libvirtio-offload >"$tmp/libs"
expect "shared linking needs nothing but the library" sh -c "! grep -qE 'uring|crypto' '$tmp/libs'"
pkg-config --static --libs libvirtio-offload >"$tmp/libs"
expect "static linking needs liburing" grep -q -- -luring "$tmp/libs"
if grep -q '^VIO_CRYPTO:BOOL=ON' "$build/CMakeCache.txt"; then
	expect "static linking needs libcrypto" grep -q -- -lcrypto "$tmp/libs"
fi

# A program with an image of its own, refused a missing one: it links, loads and says so.
runs() {
	"$1" file:"$tmp"/missing.raw "$tmp/s" 2>"$tmp/err" && return 1
	grep -q missing.raw "$tmp/err"
}
cc=${CC:-cc}
# shellcheck disable=SC2046
"$cc" examples/first.c -o "$tmp/shared" $(pkg-config --cflags --libs libvirtio-offload) -Wl,-rpath,"$lib"
expect "the shared program runs" runs "$tmp/shared"
readelf -d "$tmp/shared" >"$tmp/dynamic"
expect "the shared program uses the shared library" grep -q 'NEEDED.*libvirtio-offload.so.0' "$tmp/dynamic"

rm "$lib"/libvirtio-offload.so*
# shellcheck disable=SC2046
"$cc" examples/first.c -o "$tmp/static" $(pkg-config --static --cflags --libs libvirtio-offload)
expect "the static program runs" runs "$tmp/static"

# Every public header stands alone, in C and in C++.
for header in $(cd "$tmp/usr/include" && find . -name '*.h'); do
	echo "#include <${header#./}>" >"$tmp/one.c"
	expect "$header stands alone" "$cc" -Wall -Wextra -Werror -std=gnu11 -I"$tmp/usr/include" -c "$tmp/one.c" -o /dev/null
	if command -v c++ >/dev/null; then
		expect "$header in C++" c++ -Wall -Wextra -Werror -x c++ -I"$tmp/usr/include" -c "$tmp/one.c" -o /dev/null
	fi
done
