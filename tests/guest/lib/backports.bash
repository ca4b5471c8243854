# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Fetches packages of Debian's backports into the current directory, from the mirror that this machine has, and installs
# nothing: apt gets lists of its own here. Sourced by kernel and qemu, which have their own skip.

# A source for the backports of this release, and their lists. Of another one, RELEASE: for its own packages too.
backports_begin() { # [RELEASE]
	local release site suites keys=/usr/share/keyrings/debian-archive-keyring.gpg
	release=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
	suites=${1+"$1 $1-updates "}${1-$release}-backports
	site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' "Release: $release" | head -1)
	[ -n "$site" ] || skip "apt knows no mirror of Debian '$release', whose backports are asked for: run apt-get update"
	mkdir -p sources lists/partial cache/archives/partial
	printf '%s\n' 'Types: deb' "URIs: $site" "Suites: $suites" 'Components: main' >sources/backports.sources
	[ ! -e "$keys" ] || echo "Signed-By: $keys" >>sources/backports.sources
	: >status
	backports_apt get -q update >log 2>&1 || skip "cannot read the lists of the backports: $(tail -1 log)"
}

backports_apt() { # get|cache ARG...
	"apt-$1" -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$PWD/sources" -o Dir::State::Lists="$PWD/lists" \
		-o Dir::Cache="$PWD/cache" -o Debug::NoLocking=1 -o APT::Sandbox::User=root "${@:2}"
}

# Downloads, and unpacks here.
backports_unpack() { # PACKAGE...
	backports_apt get -q download "$@" >log 2>&1 || skip "cannot download $* of the backports: $(tail -1 log)"
	backports_spread ./*.deb
}

# The same, and all that these depend on, down to the C library: for a release whose programs do not run here otherwise.
backports_unpack_whole() { # RELEASE PACKAGE...
	backports_apt get -q -y -o Dir::State::Status="$PWD/status" -o APT::Install-Recommends=0 --download-only \
		-t "$1-backports" install "${@:2}" >log 2>&1 ||
		skip "cannot download ${*:2} of $1-backports: $(tail -1 log)"
	backports_spread cache/archives/*.deb
}

backports_spread() { # FILE...
	local package
	for package; do dpkg-deb -x "$package" .; done
	rm -rf ./*.deb sources lists cache log status
}
