"""Tests on a cluster of two hosts (cluster.sh): shared by the tests of this folder."""
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "cli"))
from harmonium import *  # noqa: E402,F401,F403
from harmonium import MPI, PROGRAM, SOURCE, Case  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
BOTH = ("--nodes=2", "--ntasks-per-node=1")
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")


class Cluster(Case):
    """A test with two hosts; the folder of the test lies outside /tmp, which the hosts do not share."""

    kind = "up"

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="harmonium-test-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.cluster = os.path.join(self.folder, "cluster")
        # A host sees neither a program nor a script that lies in our /tmp.
        self.program = shutil.copy(PROGRAM, self.folder)
        self.scripts = shutil.copytree(HERE, os.path.join(self.folder, "scripts"), ignore=shutil.ignore_patterns("*.py*"))
        process = self.script(self.kind, check=False)
        if process.returncode == 77:
            print(process.stderr, flush=True)
            self.skipTest(process.stderr)
        self.addCleanup(self.script, "down")
        self.assertEqual(process.returncode, 0, process.stderr)

    def script(self, action, *arguments, check=True):
        """cluster.sh; its processes outlive it, so its output goes to files."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            process = subprocess.run([os.path.join(self.scripts, "cluster.sh"), action, self.cluster, *arguments], stdout=out,
                                     stderr=err, stdin=subprocess.DEVNULL, env={**os.environ, **MPI}, timeout=400)
            for file in (out, err):
                file.seek(0)
            process = subprocess.CompletedProcess(process.args, process.returncode, out.read(), err.read())
        if check:
            self.assertEqual(process.returncode, 0, process.stderr)
        return process

    def processes(self, host):
        """Numbers of all processes that live in the network of the host."""
        with open(os.path.join(self.cluster, "id")) as number:
            space = f"hm{number.read().strip()}{host}"
        pids = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True, check=True).stdout
        return [int(process) for process in pids.split()]

    def signal_ranks(self, number):
        """Of the job that has one on each host."""
        names = {process: subprocess.run(["ps", "-o", "comm=", "-p", str(process)], capture_output=True, text=True).stdout.strip()
                 for host in ("n1", "n2") for process in self.processes(host)}
        ranks = [process for process, name in names.items() if name == os.path.basename(self.program)]
        self.assertEqual(len(ranks), 2, names)
        for rank in ranks:
            os.kill(rank, number)

    def ranks_of(self, run):
        """Processes that train or evaluate this run."""
        everything = [process for host in ("n1", "n2") for process in self.processes(host)]
        arguments = {process: subprocess.run(["ps", "-o", "args=", "-p", str(process)], capture_output=True, text=True).stdout
                     for process in everything}
        return [process for process, words in arguments.items()
                if words.startswith(self.program + " ") and run in words.split()]

    def kill_host(self, host):
        """Every process of the host but the one that keeps its namespaces."""
        with open(os.path.join(self.cluster, f"keeper.{host}")) as keeper:
            keeper = int(keeper.read())
        for process in self.processes(host):
            if process != keeper:
                os.kill(process, signal.SIGKILL)

    def training(self, epochs, k=3, more=""):
        """A configuration, and the folder of its run on this host, undisturbed."""
        data = self.digits(rows=1000)
        config = self.config(data, model="hidden: 100", more=more,
                             train=f"epochs: {epochs}, batch: 44, learning_rate: 0.02, monitor_every: 7, momentum: 0.5, "
                                   f"k: {k}, chains: 200")
        self.succeed("train", config, "-o", self.path("whole"), "--quiet", "--set", "threads=2")
        return config

    # ---- Slurm ----

    def slurm(self, *command):
        # Without the settings that keep MPI off the network.
        plain = {name: value for name, value in os.environ.items() if not name.startswith("OMPI_")}
        environment = {**plain, "SLURM_CONF": os.path.join(self.cluster, "slurm.conf"), "HARMONIUM": self.program,
                       "SBATCH_EXPORT": "ALL"}
        process = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=environment, timeout=400)
        self.assertEqual(process.returncode, 0, process.stderr)
        return process.stdout

    def submit(self, template, *arguments, options=()):
        """The number of the job."""
        return self.slurm("sbatch", "--parsable", "--mem-per-cpu=0", *options, os.path.join(SOURCE, "slurm", template),
                          *arguments).strip()

    def state(self, job):
        return self.slurm("scontrol", "show", "job", job, "--oneliner").split("JobState=")[1].split()[0]

    def log(self, pattern="*.log"):
        """What the jobs wrote, without the lines of progress."""
        text = ""
        for path in sorted(glob.glob(self.path(pattern))):
            with open(path, errors="replace") as file:
                text += "".join(line for line in file if not line.startswith("training epoch"))
        return text

    def wait_until(self, condition, seconds, what):
        """`seconds` on a machine that does nothing else; four times as many are allowed."""
        end = time.monotonic() + 4 * seconds
        while not condition():
            if time.monotonic() > end:
                self.fail(f"{what} not within {4 * seconds} s\n{self.log()}\n{self.log('cluster/slurm*.log')[-3000:]}")
            time.sleep(0.2)

    def wait_for_end(self, job, seconds):
        def ended():
            if self.state(job) == "PENDING" and "Reason=BeginTime" in self.slurm("scontrol", "show", "job", job):
                # Slurm holds a requeued job back for two minutes; this ends the wait, after time for the hosts to clean up.
                time.sleep(4)
                self.slurm("scontrol", "update", f"JobId={job}", "StartTime=now")
                self.wait_until(lambda: self.state(job) != "PENDING", 30, f"another turn of job {job}")
            return self.state(job) in ENDED
        self.wait_until(ended, seconds, f"the end of job {job}")
        return self.state(job)

    def turns(self, pattern="*.log"):
        return self.log(pattern).count(" turn ")
