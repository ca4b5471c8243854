#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What bench/run says follows from what it measured: order of slices, intervals, floors, plots."""

import os
import sys
import tempfile
import unittest
import unittest.mock
import xml.dom.minidom

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench"))

import figures  # noqa: E402
import packets  # noqa: E402
import plots  # noqa: E402
import stats  # noqa: E402


class Pairs(unittest.TestCase):
    def test_slices_alternate_abba(self):
        order = []
        stats.abba(lambda: order.append("A"), lambda: order.append("B"), 4)
        self.assertEqual("".join(order), "ABBAABBA")

    def test_ratio_is_of_neighbours(self):
        value, (low, high) = stats.ratio([2, 20, 200], [1, 10, 100])
        self.assertEqual((value, low, high), (2, 2, 2))

    def test_interval_leaves_the_tails_out(self):
        # 16 values: the 4th from either end is the last pair that still covers 95 % (2.1 % a tail beyond the 3rd).
        self.assertEqual(stats.interval(range(16)), (3, 12))
        self.assertEqual(stats.interval([3, 1, 2]), (1, 3))  # too few to leave any out

    def test_the_worse_end_has_to_hold(self):
        def claim(name, value, spread):
            return figures.holds(figures.result(name, value, spread=spread))
        self.assertTrue(claim("blk.null.qd32", 3, (2.0, 4)))
        self.assertFalse(claim("blk.null.qd32", 3, (1.9, 4)))
        self.assertTrue(claim("blk.cpu", 0.3, (0.2, 0.5)))
        self.assertFalse(claim("blk.cpu", 0.3, (0.2, 0.6)))
        self.assertFalse(claim("blk.syscalls.busy", 0.001, None))


class Beside(unittest.TestCase):
    def test_one_device_runs_at_a_time_and_more_packets_are_better(self):
        running, test = set(), self

        class Device:
            def __init__(self, _bench, _name):
                running.add(self)

            def stop(self):
                running.discard(self)

        class Guests:
            def __init__(self, name, _device):
                self.packets = 2e6 if name.startswith("ours") else 1e6

            def rate(self, _effort):
                test.assertEqual(len(running), 1)
                return self.packets

            def stop(self):
                pass

        with unittest.mock.patch.multiple(packets, thaw=running.add, freeze=running.discard,
                                          cycles_a_second=lambda: 3e9):
            r = packets.beside("switch.1flow", None, figures.Effort(quick=True), Device, Device, Guests)
        self.assertEqual((r["value"], r["ours"], r["peer"]), (2, 1500, 3000))
        self.assertFalse(running)


class Plots(unittest.TestCase):
    def check(self, draw, *args):
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "x.svg")
            draw(path, "title", *args)
            return xml.dom.minidom.parse(path)

    def test_lines_have_every_point(self):
        svg = self.check(plots.lines, "x", "y", {"a": [(1, 1e3), (128, 2e6)], "b": [(1, 5), (2, 6), (128, 7)]})
        self.assertEqual(len(svg.getElementsByTagName("circle")), 5)

    def test_bars_have_every_value(self):
        svg = self.check(plots.bars, "y", {"a": 0.1, "b": 2})
        self.assertEqual(len(svg.getElementsByTagName("rect")), 3)  # and the background


unittest.main(argv=sys.argv[:1])  # ctest gives the build directory too
