"""The wall clock jumps by years in both directions: checkpoints come when they should, times are never negative."""
import os
import subprocess
import unittest

import h5py
import numpy

from faults import Broken

# Every look at the wall clock sees another time; CLOCK_MONOTONIC stays what it is.
JUMPY_CLOCK = r"""
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long jump(void)
{
    static long looks;
    return (++looks % 2 ? 1 : -1) * (looks % 7) * 100000000;
}
time_t time(time_t *out)
{
    time_t now = 1700000000 + jump();
    if (out) *out = now;
    return now;
}
int clock_gettime(clockid_t clock, struct timespec *out)
{
    int result = (int)syscall(SYS_clock_gettime, clock, out);
    if (clock == CLOCK_REALTIME) out->tv_sec += jump();
    return result;
}
int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


class ClockJumps(Broken):
    def test_nothing_depends_on_the_wall_clock(self):
        config = self.begin(more="checkpoint: {seconds: 0.3}")
        self.write("clock.c", JUMPY_CLOCK)
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", self.path("clock.so"), self.path("clock.c")], check=True)
        report = self.report("train", config, "-o", self.path("run"), env={"LD_PRELOAD": self.path("clock.so")})
        self.assert_same_run(self.path("run"), self.whole)
        self.assertTrue(0 < report["seconds"] < 100, report)
        self.assertTrue(1 <= report["checkpoints"] < report["updates"] / 4, report)
        with h5py.File(self.path("run/metrics.h5")) as file:
            seconds = file["metrics/seconds"][...]
        self.assertTrue((numpy.diff(seconds) >= 0).all())
        self.assertLess(seconds[-1], 100)


if __name__ == "__main__":
    unittest.main()
