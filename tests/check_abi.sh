#!/bin/sh
# SPDX-License-Identifier: MIT
# The library's ABI is the committed one.
exec tools/check-abi "$1"
