"""scripts/submit.sh fills in the batch script, shows it, and refuses what Slurm would misunderstand."""
import os
import re
import subprocess

from harmonium import PROGRAM, SOURCE, Case, main


class Submit(Case):
    def submit(self, *arguments):
        return subprocess.run([os.path.join(SOURCE, "scripts", "submit.sh"), *arguments], capture_output=True, text=True,
                              cwd=self.folder)

    def setUp(self):
        super().setUp()
        self.write("run.yaml", "model: {family: rbm}\n")

    def test_options_end_up_in_the_script(self):
        process = self.submit("run.yaml", "-o", "runs/a", "--nodes", "4", "--ranks-per-node", "8", "--threads", "2",
                              "--time", "1-12:00:00", "--memory", "3G", "--name", "a+b", "--partition", "long", "--account",
                              "x/y", "--set", "seed=2", "--set", "train.k=5", "--dry-run")
        self.assertEqual(process.returncode, 0, process.stderr)
        for line in ("nodes=4", "ntasks-per-node=8", "cpus-per-task=2", "time=1-12:00:00", "mem-per-cpu=3G", "job-name=a+b",
                     "partition=long", "account=x/y"):
            self.assertEqual(process.stdout.splitlines().count("#SBATCH --" + line), 1, line)
        self.assertTrue(process.stdout.rstrip().endswith("run.yaml runs/a seed=2 train.k=5"), process.stdout[-200:])
        with open(os.path.join(SOURCE, "slurm", "train.sbatch")) as file:
            template = file.read().splitlines()
        script = process.stdout.splitlines()
        changed = [line for line in template if line not in script]
        self.assertTrue(all(line.startswith("#SBATCH") for line in changed), changed)
        script = self.write("script", process.stdout)
        self.assertEqual(subprocess.run(["bash", "-n", script]).returncode, 0)

    def test_without_options_it_is_the_template(self):
        process = self.submit("run.yaml", "-o", "runs/a", "--dry-run")
        with open(os.path.join(SOURCE, "slurm", "train.sbatch")) as template:
            self.assertTrue(process.stdout.startswith(template.read()))

    def stand_in(self, *arguments, **env):
        """The call with a stand-in for sbatch that keeps what it is given; a real one runs it in tests/slurm."""
        self.write("sbatch", '#!/bin/sh\necho "$@" > arguments\nwhile [ "${1#-}" != "$1" ]; do shift; done\ncp "$1" script\n')
        os.chmod(self.path("sbatch"), 0o755)
        return subprocess.run([os.path.join(SOURCE, "scripts", "submit.sh"), *arguments], capture_output=True, text=True,
                              cwd=self.folder, env={**os.environ, "HARMONIUM": os.path.abspath(PROGRAM), **env,
                                                    "PATH": self.folder + ":" + os.environ["PATH"]})

    def test_it_submits_what_it_printed(self):
        process = self.stand_in("run.yaml", "-o", "runs/a", "--nodes", "2", "--no-check", "--", "--qos=long", "--mail-type=END")
        self.assertEqual(process.returncode, 0, process.stderr)
        with open(self.path("script")) as script, open(self.path("arguments")) as arguments:
            self.assertEqual(script.read(), process.stdout)
            self.assertRegex(arguments.read(), "^--qos=long --mail-type=END /[^ ]+ run.yaml runs/a\n$")

    def test_what_would_fail_is_not_queued(self):
        config = self.config(self.digits(80, 0))
        process = self.stand_in(config, "-o", "a", "--set", "train.epoch=3")
        self.assertEqual((process.returncode, process.stdout), (2, ""))
        self.assertIn("did you mean 'epochs'", process.stderr)
        self.assertIn("not submitted", process.stderr)
        process = self.stand_in(config, "-o", "a", "--set", "data.file=nowhere.h5")
        self.assertEqual((process.returncode, process.stdout), (3, ""))
        process = self.stand_in(config, "-o", "a", "--nodes", "3")
        self.assertEqual((process.returncode, process.stdout), (2, ""))
        self.assertIn("6 ranks (--nodes times --ranks-per-node) cannot share 8 shards", process.stderr)
        self.no_leftovers("run.yaml", "digits.h5", "config.yaml", "sbatch")
        process = self.stand_in(config, "-o", "a", "--nodes", "2")
        self.assertEqual((process.returncode, process.stderr), (0, ""))
        self.no_leftovers("run.yaml", "digits.h5", "config.yaml", "sbatch", "script", "arguments")

    def test_without_a_program_it_says_that_nothing_was_checked(self):
        process = self.stand_in("run.yaml", "-o", "a", HARMONIUM="/nowhere/harmonium")
        self.assertEqual(process.returncode, 0)
        self.assertIn("not checked: there is no harmonium here", process.stderr)

    def test_the_mpi_plugin_is_a_setting(self):
        self.assertIn('srun --mpi="${HARMONIUM_MPI:-pmix}" ', self.submit("run.yaml", "-o", "a", "--dry-run").stdout)
        self.assertIn("srun --mpi=pmix_v4 ", self.submit("run.yaml", "-o", "a", "--dry-run", "--mpi", "pmix_v4").stdout)
        for name in os.listdir(os.path.join(SOURCE, "slurm")):
            with open(os.path.join(SOURCE, "slurm", name)) as script:
                self.assertEqual(re.findall("--mpi=[^ ]*", script.read()), ['--mpi="${HARMONIUM_MPI:-pmix}"'], name)

    def test_options_of_sbatch_are_shown(self):
        process = self.submit("run.yaml", "-o", "a", "--dry-run", "--", "--qos=long", "--exclusive")
        self.assertTrue(process.stdout.endswith("# not submitted: sbatch --qos=long --exclusive THIS run.yaml a\n"))

    def test_what_is_wrong_is_named(self):
        for words, *arguments in (("no configuration",), ("no such file", "other.yaml", "-o", "a"),
                                  ("no folder", "run.yaml"), ("--nodes: 'two'", "run.yaml", "-o", "a", "--nodes", "two"),
                                  ("--threads: '0'", "run.yaml", "-o", "a", "--threads", "0"),
                                  ("--time: 'soon'", "run.yaml", "-o", "a", "--time", "soon"),
                                  ("--nodes needs a value", "run.yaml", "-o", "a", "--nodes"),
                                  ("unknown option --node", "run.yaml", "-o", "a", "--node", "2"),
                                  ("--mpi: 'a b'", "run.yaml", "-o", "a", "--mpi", "a b"),
                                  ("'seed' is not KEY=VALUE", "run.yaml", "-o", "a", "--set", "seed"),
                                  ("--name: 'a b'", "run.yaml", "-o", "a", "--name", "a b"),
                                  ("one configuration", "run.yaml", "run.yaml", "-o", "a")):
            process = self.submit(*arguments, "--dry-run")
            self.assertEqual((process.returncode, process.stdout), (2, ""), arguments)
            self.assertIn(words, process.stderr)


if __name__ == "__main__":
    main()
